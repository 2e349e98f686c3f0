//! A real backend that serves, and a check that asks it for what is not there.

use super::check;
use crate::harness::{gate::admin, process::Process, programs::Server};

#[tokio::test]
async fn a_wrong_path_is_recognised_while_the_backend_serves_and_said_so_in_the_log_and_to_whoever_asks() {
    let backend = Server::warm_race(&[]).await;
    let mut gate = Process::start(backend.address, "upstream.check = \"/health/reddy\"", &[]).await;
    let told = "upstream takes connections but has never passed at /health/reddy: answered 404 Not Found; \
                is the path right? the gate stays shut until it passes";
    let line = gate.logged(told).await;
    assert_eq!((&line["severity"], &line["check"]), (&"WARNING".into(), &"upstream".into()), "{line}");
    let shown = check(gate.admin, "upstream", |check| check["suspicion"].is_string()).await;
    assert_eq!(shown["suspicion"], told, "{shown}");
    assert_eq!(admin(gate.admin, "/status").await.json()["checks"][0]["suspicion"], told);
}
