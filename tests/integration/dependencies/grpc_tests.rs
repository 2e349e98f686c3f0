//! What the gRPC check says of a real health server in every state that can be brought about.

use readygate::{
    config::{CheckKind, GrpcCheck, Target},
    gate::Class,
};
use rustix::process::Signal;

use super::{
    ask, ask_briefly,
    certificates::{Certificates, distrusting},
    grpc::Health,
    local, refusal, told,
};

const SERVICE: &str = "shop.Orders";

fn at(target: Target, service: &str) -> CheckKind {
    CheckKind::Grpc(GrpcCheck { target, service: service.to_owned() })
}

fn whole(port: u16) -> CheckKind {
    at(local(port), "")
}

fn service(port: u16) -> CheckKind {
    at(local(port), SERVICE)
}

#[tokio::test]
async fn serving_passes_and_every_other_state_is_told_apart() {
    let mut server = Health::start(&[]);
    assert_eq!(ask(whole(server.port)).await, Ok(()));
    let hint = "is the service's name right? Without one the whole server is asked";
    let unknown = (Class::Unexpected, "NOT_FOUND: no service \"shop.Orders\"".to_owned(), hint);
    assert_eq!(told(service(server.port)).await, unknown);
    for status in ["NOT_SERVING", "UNKNOWN"] {
        server.set(SERVICE, status);
        assert_eq!(told(service(server.port)).await, (Class::NotReady, status.to_owned(), ""));
    }
    server.set(SERVICE, "SERVING");
    assert_eq!(ask(service(server.port)).await, Ok(()));
    server.set(".", "NOT_SERVING");
    assert_eq!(told(whole(server.port)).await.0, Class::NotReady);
    assert_eq!(ask(service(server.port)).await, Ok(()));
}

#[tokio::test]
async fn a_server_without_the_health_service_is_a_protocol_failure() {
    let server = Health::start(&["--without-health"]);
    let (class, reason, hint) = told(whole(server.port)).await;
    assert_eq!((class, hint), (Class::Protocol, "does the server offer grpc.health.v1.Health?"));
    assert_eq!(reason, "Unimplemented: Method not found!");
}

#[tokio::test]
async fn a_server_that_wants_credentials_is_an_auth_failure() {
    let server = Health::start(&["--deny"]);
    let (class, reason, hint) = told(whole(server.port)).await;
    assert_eq!((class, hint), (Class::Auth, "let the health service be asked without credentials"));
    assert_eq!(reason, "Unauthenticated: who are you?");
}

#[tokio::test]
async fn a_health_server_behind_tls_passes_with_its_authority_and_fails_without() {
    let files = Certificates::new();
    let (certificate, key) = (files.certificate(), files.key());
    let server = Health::start(&["--tls", certificate.to_str().unwrap(), key.to_str().unwrap()]);
    assert_eq!(ask(at(files.target(server.port), "")).await, Ok(()));
    let (class, _, hint) = told(at(distrusting(server.port), "")).await;
    assert_eq!((class, hint), (Class::Tls, "name the private CA with `ca = \"file.pem\"`"));
    let failure = refusal(whole(server.port)).await;
    assert!(matches!(failure.class, Class::Protocol | Class::Refused), "{failure:?}");
}

#[tokio::test]
async fn a_health_server_that_hangs_times_out_and_one_that_died_is_refused() {
    let mut server = Health::start(&[]);
    assert_eq!(ask(whole(server.port)).await, Ok(()));
    server.signal(Signal::STOP);
    let failure = ask_briefly(whole(server.port)).await;
    assert_eq!((failure.class, failure.reason.as_str()), (Class::Timeout, "no answer within 200ms"));
    server.signal(Signal::CONT);
    assert_eq!(ask(whole(server.port)).await, Ok(()));
    server.kill();
    assert_eq!(told(whole(server.port)).await.0, Class::Refused);
}
