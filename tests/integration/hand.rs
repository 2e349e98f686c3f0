//! The operator's hand, over real sockets.

use crate::harness::{
    frame::Frame,
    gate::{Setup, admin, post},
    process::Process,
    raw::Raw,
    upstream::{Upstream, nowhere},
};

#[tokio::test]
async fn a_gate_opened_by_hand_releases_who_is_held_whatever_the_checks_say() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::shut(upstream.address).start().await;
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("early")).await;
    gate.holds(1).await;
    assert_eq!(gate.order("/gate/open?reason=the+check+is+wrong").await.json()["verdict"], "open");
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    assert_eq!(backend.frame().await, Frame::text("early"));
    assert_eq!(gate.admin("/gate").await.json()["checks"][0]["state"], "failing");
}

#[tokio::test]
async fn under_a_gate_opened_by_hand_a_refused_dial_holds_and_is_tried_again() {
    let address = nowhere().await;
    let gate = Setup::shut(address).with("upstream.backoff = { initial = \"5ms\", max = \"20ms\" }").start().await;
    assert_eq!(gate.order("/gate/open").await.status(), 200);
    let mut client = gate.held_client().await;
    assert!(gate.metric("readygate_dial_retries_total").await > 0.0);
    let mut upstream = Upstream::start_on(address).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.send_frame(&Frame::text("late")).await;
    assert_eq!(backend.frame().await, Frame::text("late"));
}

#[tokio::test]
async fn a_gate_shut_by_hand_holds_until_the_hand_is_off() {
    let mut upstream = Upstream::start().await;
    let gate = Setup::open(upstream.address).start().await;
    let mut open = joined(&gate, &mut upstream).await;
    assert_eq!(gate.order("/gate/shut?route=*&reason=moving&for=1h").await.status(), 200);
    let mut held = gate.held_client().await;
    gate.holds(1).await;
    let session = &crate::harness::gate::sessions(gate.admin, "held").await[0];
    let told = gate.admin(&format!("/sessions/{}", session["id"])).await.json();
    assert_eq!(told["waiting_for"][0]["reason"], "shut by hand: moving", "{told}");
    open.0.send_frame(&Frame::text("as before")).await;
    assert_eq!(open.1.frame().await, Frame::text("as before"));
    assert_eq!(gate.order("/gate/auto?route=*").await.json()["verdict"], "open");
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    held.send_frame(&Frame::text("after all")).await;
    assert_eq!(backend.frame().await, Frame::text("after all"));
}

#[tokio::test]
async fn a_hand_with_an_end_goes_by_itself_and_the_log_says_so() {
    let lines = format!("upstream.check = \"tcp://{}\"", nowhere().await);
    let mut gate = Process::start(nowhere().await, &lines, &[]).await;
    assert_eq!(post(gate.admin, "/gate/open?for=50ms&reason=a+try").await.status(), 200);
    let laid = gate.logged("gate forced open by hand").await;
    assert_eq!((&laid["route"], &laid["reason"], laid["until"].is_string()), (&"*".into(), &"a try".into(), true));
    gate.logged("the hand is off the gate: its time is over").await;
    gate.logged("gate shut").await;
    assert_eq!(admin(gate.admin, "/gate").await.json()["routes"][0]["hand"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_drain_by_hand_ends_the_process_as_a_signal_does() {
    let mut gate = Process::start(nowhere().await, "drain.timeout = \"300ms\"", &[]).await;
    let mut client = gate.client().await;
    client.upgrade("/ws", &[]).await;
    assert_eq!(post(gate.admin, "/drain").await.status(), 202);
    assert_eq!(client.closed().await, (1012, "restarting".into()));
    assert_eq!(gate.ended().await.code(), Some(0));
}

/// An open session.
async fn joined(gate: &crate::harness::gate::Running, upstream: &mut Upstream) -> (Raw, Raw) {
    let mut client = gate.client().await;
    client.ask("/ws", &[]).await;
    let mut backend = upstream.dialed().await;
    backend.accept(&[]).await;
    client.upgraded().await;
    (client, backend)
}
