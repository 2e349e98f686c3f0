//! `readygate probe`: what a health check in an image without a shell sees.

use tokio::net::TcpListener;

use crate::harness::{
    gate::Setup,
    process::{Ended, run},
    upstream::nowhere,
};

#[tokio::test]
async fn an_answer_of_the_200s_passes_and_any_other_does_not() {
    let gate = Setup::shut(nowhere().await).start().await;
    let url = |path: &str| format!("http://{}{path}", gate.admin);
    let ended = ask(&[&url("/readyz")], &[]).await;
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{}: ok\n", url("/readyz"))));
    let ended = ask(&[&url("/gate")], &[]).await;
    assert_eq!((ended.code, ended.stdout), (Some(1), format!("{}: answered 503 Service Unavailable\n", url("/gate"))));
    let ended = ask(&[&url("/healthz")], &[]).await;
    assert_eq!((ended.code, ended.stdout), (Some(1), format!("{}: answered 404 Not Found\n", url("/healthz"))));
}

#[tokio::test]
async fn the_admin_port_is_taken_from_the_configuration_and_asked_on_the_loopback() {
    let gate = Setup::open(nowhere().await).start().await;
    let port = gate.admin.port();
    // Whatever else is wrong with it: a readygate that runs may have begun with another file.
    let file = format!("admin.listen = \"0.0.0.0:{port}\"\nupstream.url = \"${{UNSET}}\"\n");
    let admin = async |arguments: &[&str]| {
        let ended = ask(&[&["--admin"], arguments].concat(), &[("proxy.toml", &file)]).await;
        (ended.code, ended.stdout)
    };
    assert_eq!(admin(&[]).await, (Some(0), format!("http://127.0.0.1:{port}/readyz: ok\n")));
    assert_eq!(admin(&["--path", "/startupz"]).await, (Some(0), format!("http://127.0.0.1:{port}/startupz: ok\n")));
    let (code, said) = admin(&["--path", "/nowhere"]).await;
    assert_eq!(
        (code, said.as_str()),
        (Some(1), &*format!("http://127.0.0.1:{port}/nowhere: answered 404 Not Found\n"))
    );
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_or_that_never_answers_fails() {
    let address = nowhere().await;
    let ended = ask(&[&format!("http://{address}/")], &[]).await;
    assert_eq!((ended.code, ended.stdout), (Some(1), format!("http://{address}/: connection to {address} refused\n")));
    // Taken by the kernel, and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let ended = run(&["probe", &format!("http://{address}/"), "--timeout", "50ms"], &[], &[]).await;
    assert_eq!((ended.code, ended.stdout), (Some(1), format!("http://{address}/: no answer within 50ms\n")));
}

#[tokio::test]
async fn a_configuration_that_is_not_there_fails_and_wrong_usage_says_so() {
    let ended = run(&["probe", "--admin"], &[], &[]).await;
    let reason = "proxy.toml: no such file; name the configuration with --config\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), reason));
    for (arguments, said) in [
        (&["probe"][..], "<URL>"),
        (&["probe", "https://127.0.0.1/"], "write http://host:port/path"),
        (&["probe", "http://127.0.0.1/", "--admin"], "--admin"),
        (&["probe", "--admin", "--path", "readyz"], "a path begins with /"),
        (&["probe", "http://127.0.0.1/", "--timeout", "0s"], "more than nothing"),
    ] {
        let ended: Ended = run(arguments, &[], &[]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
}

/// The command with more patience than it has by itself: the machine may be busy.
async fn ask(arguments: &[&str], files: &[(&str, &str)]) -> Ended {
    run(&[&["probe", "--timeout", "20s"], arguments].concat(), &[], files).await
}
