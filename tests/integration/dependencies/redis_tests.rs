//! What the Redis check says of a real redis-server in every state that can be brought about.

use readygate::{
    config::{CheckKind, RedisCheck, Target},
    gate::Class,
};
use rustix::process::Signal;

use super::{
    ask, ask_briefly,
    certificates::{Certificates, distrusting},
    local,
    process::free_port,
    redis::Redis,
    refusal, told,
};

const PASSWORD: &str = "planted-redis-secret";

fn of(port: u16) -> RedisCheck {
    at(local(port))
}

fn at(target: Target) -> RedisCheck {
    RedisCheck { target, user: None, password: None, db: 0, primary: false }
}

fn login(port: u16, user: &str, password: &str) -> CheckKind {
    let user = (!user.is_empty()).then(|| user.to_owned());
    CheckKind::Redis(RedisCheck { user, password: Some(password.into()), ..of(port) })
}

fn plain(port: u16) -> CheckKind {
    CheckKind::Redis(of(port))
}

fn primary(port: u16) -> CheckKind {
    CheckKind::Redis(RedisCheck { primary: true, ..of(port) })
}

#[tokio::test]
async fn a_redis_that_answers_passes_on_any_of_its_databases_and_not_beyond() {
    let server = Redis::start(&[]);
    assert_eq!(ask(plain(server.port)).await, Ok(()));
    assert_eq!(ask(primary(server.port)).await, Ok(()));
    let database = |db| CheckKind::Redis(RedisCheck { db, ..of(server.port) });
    assert_eq!(ask(database(15)).await, Ok(()));
    let expected = (Class::Unexpected, "ERR DB index is out of range".to_owned(), "is the database's number right?");
    assert_eq!(told(database(16)).await, expected);
}

#[tokio::test]
async fn a_redis_password_is_asked_for_wrong_or_right() {
    let server = Redis::start(&["--requirepass", PASSWORD]);
    let noauth = (Class::Auth, "NOAUTH Authentication required".to_owned(), "put the password into the URL");
    assert_eq!(told(plain(server.port)).await, noauth);
    let reason = "WRONGPASS invalid username-password pair or user is disabled".to_owned();
    let wrongpass = (Class::Auth, reason, "check user and password in the URL");
    assert_eq!(told(login(server.port, "", "planted-wrong-secret")).await, wrongpass);
    assert_eq!(ask(login(server.port, "", PASSWORD)).await, Ok(()));
}

#[tokio::test]
async fn a_password_for_a_redis_that_has_none_is_to_be_taken_out() {
    let server = Redis::start(&[]);
    let (class, reason, hint) = told(login(server.port, "", PASSWORD)).await;
    assert_eq!((class, hint), (Class::Auth, "the server wants no password: take it out of the URL"));
    assert!(reason.starts_with("ERR AUTH <password> called without any password configured"), "{reason}");
}

#[tokio::test]
async fn an_acl_user_logs_in_and_lacks_what_it_was_not_given() {
    let server = Redis::start(&[]);
    server.tell(&[&format!("ACL SETUSER app on >{PASSWORD} +ping +select")]);
    assert_eq!(ask(login(server.port, "app", PASSWORD)).await, Ok(()));
    assert_eq!(told(login(server.port, "nobody", PASSWORD)).await.0, Class::Auth);
    server.tell(&["ACL SETUSER app -ping"]);
    let (class, reason, hint) = told(login(server.port, "app", PASSWORD)).await;
    assert_eq!((class, hint), (Class::Auth, "allow the user +ping, +select and +role in the ACL"));
    assert!(reason.starts_with("NOPERM "), "{reason}");
}

#[tokio::test]
async fn a_redis_behind_tls_passes_with_its_authority_and_fails_without() {
    let files = Certificates::new();
    let tls = free_port().to_string();
    let (certificate, key) = (files.certificate(), files.key());
    let server = Redis::start(&[
        "--tls-port",
        &tls,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        PASSWORD,
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        files.authority().to_str().unwrap(),
    ]);
    let port = tls.parse().unwrap();
    let over = |target| CheckKind::Redis(RedisCheck { password: Some(PASSWORD.into()), ..at(target) });
    assert_eq!(ask(over(files.target(port))).await, Ok(()));
    let (class, _, hint) = told(over(distrusting(port))).await;
    assert_eq!((class, hint), (Class::Tls, "name the private CA with `ca = \"file.pem\"`"));
    // Redis takes the handshake for the beginning of a command, and waits for the rest of it.
    assert_eq!(ask_briefly(over(files.target(server.port))).await.class, Class::Timeout);
    let failure = refusal(plain(port)).await;
    assert!(matches!(failure.class, Class::Protocol | Class::Refused), "{failure:?}");
}

#[tokio::test]
async fn a_redis_that_loads_its_dump_is_not_ready_until_it_has() {
    let mut server = Redis::start(&["--enable-debug-command", "local"]);
    assert_eq!(server.tell(&["DEBUG POPULATE 20000", "SAVE"]), "+OK");
    server.kill();
    // 20 s at this pace, and a look at the sockets for every kilobyte read.
    let slowly = ["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"];
    server.restart(&slowly, "Server initialized");
    let loading = (Class::NotReady, "LOADING Redis is loading the dataset in memory".to_owned(), "");
    assert_eq!(told(plain(server.port)).await, loading);
    assert_eq!(server.tell(&["CONFIG SET key-load-delay 0"]), "+OK");
    server.log().line("Ready to accept connections");
    assert_eq!(ask(plain(server.port)).await, Ok(()));
}

#[tokio::test]
async fn a_replica_is_no_primary_is_down_without_its_master_and_passes_once_promoted() {
    let mut master = Redis::start(&["--repl-diskless-sync-delay", "0"]);
    let replicaof = format!("127.0.0.1 {}", master.port);
    let replica = Redis::start(&["--replicaof", &replicaof, "--replica-serve-stale-data", "no"]);
    replica.log().line("Finished with success");
    assert_eq!(ask(plain(replica.port)).await, Ok(()));
    let (class, reason, _) = told(primary(replica.port)).await;
    assert_eq!((class, reason.as_str()), (Class::NotReady, "is a replica"));
    master.kill();
    replica.log().line("Connection with master lost");
    let (class, reason, _) = told(plain(replica.port)).await;
    let masterdown = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'";
    assert_eq!((class, reason.as_str()), (Class::NotReady, masterdown));
    assert_eq!(replica.tell(&["REPLICAOF NO ONE"]), "+OK");
    assert_eq!(ask(primary(replica.port)).await, Ok(()));
}

#[tokio::test]
async fn a_redis_without_room_for_another_client_is_not_ready() {
    let server = Redis::start(&["--maxclients", "1"]);
    let _only = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let failure = refusal(plain(server.port)).await;
    assert_eq!((failure.class, failure.reason.as_str()), (Class::NotReady, "ERR max number of clients reached"));
}

#[tokio::test]
async fn a_redis_that_hangs_times_out_one_that_died_is_refused_and_one_that_returned_passes() {
    let mut server = Redis::start(&[]);
    assert_eq!(ask(plain(server.port)).await, Ok(()));
    server.signal(Signal::STOP);
    let failure = ask_briefly(plain(server.port)).await;
    assert_eq!((failure.class, failure.reason.as_str()), (Class::Timeout, "no answer within 200ms"));
    server.signal(Signal::CONT);
    assert_eq!(ask(plain(server.port)).await, Ok(()));
    server.kill();
    let (class, reason, hint) = told(plain(server.port)).await;
    assert_eq!((class, hint), (Class::Refused, "does anything listen there?"));
    assert_eq!(reason, format!("connection to 127.0.0.1:{} refused", server.port));
    server.restart(&[], "Ready to accept connections");
    assert_eq!(ask(plain(server.port)).await, Ok(()));
}

#[tokio::test]
async fn no_failure_of_a_redis_shows_a_secret() {
    let server = Redis::start(&["--requirepass", PASSWORD, "--rename-command", "AUTH", ""]);
    let kind = login(server.port, "app", "planted-wrong-secret");
    let shown = format!("{kind:?} {:?}", refusal(kind.clone()).await);
    assert!(!shown.contains("planted"), "{shown}");
}

#[tokio::test]
async fn a_check_leaves_no_connection_behind() {
    let server = Redis::start(&[]);
    for _ in 0..5 {
        assert_eq!(ask(primary(server.port)).await, Ok(()));
    }
    // The server sees an end when it comes to it, so this asks until it has; one connection is the one that asks.
    while server.clients() > 1 {}
}
