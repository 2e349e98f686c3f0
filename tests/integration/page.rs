//! The status page in a real browser: what it shows of a gate that opens, is degraded and drains, and that nothing from
//! outside is ever more than text.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use crate::harness::{
    frame::Frame,
    gate::{Running, Setup},
    programs::Page,
    raw::Raw,
    upstream::Echo,
};

/// A client's path, and a dependency's answer, as somebody would write them who wants to be more than text.
const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_follows_a_gate_from_shut_to_drained_and_on_when_it_is_gone() {
    let (echo, cache) = (Echo::start().await, Cache::start().await);
    let mut gate = started(&echo, &cache).await;
    let mut page = Page::open(gate.admin).await;
    page.sees(&[("#word", "Shut"), ("#link", "live")]).await;
    page.sees(&[("#routes tr", "/ws/*shut"), ("#routes .reason", "answered 503"), ("#unchanged", "No verdict")]).await;
    let client = held(&gate, &mut page).await;
    page.shoot("shut").await;

    gate.open().await;
    page.sees(&[("#word", "Open"), ("#changes li", "shut → open"), ("#announcement", "Route /ws/* is open")]).await;
    page.sees(&[("#flow [data-key=open] .count", "1"), ("#checks tr", "upstreamhttp · requiredpassing")]).await;
    page.shoot("open").await;
    leave(client).await;
    page.sees(&[("#outcomes", "completed 1"), ("#equation", "1 received = 1 delivered + 0 refused")]).await;

    cache.answer_markup();
    page.sees(&[("#word", "Degraded"), ("#routes .reason", MARKUP), ("#changes .why", MARKUP)]).await;
    page.sees(&[("#announcement", MARKUP), ("#checks tr", "cacheredis · optionalfailing"), ("#checks .small", MARKUP)])
        .await;
    page.shoot("degraded").await;

    let last = gate.held_client().await;
    gate.drain();
    page.sees(&[("#word", "Draining"), ("#standing", "takes nobody new"), ("#end", "at the latest")]).await;
    page.shoot("draining").await;
    leave(last).await;
    gate.ended().await;
    page.sees(&[("#link", "Connection lost since"), ("#word", "Draining")]).await;
    page.shoot("lost").await;
    assert_eq!(page.count(INTRUDERS).await, 0);
    assert_eq!(page.complaints().await, json!([]));
}

/// What markup would have become.
const INTRUDERS: &str = "main script, main img, dialog script, dialog img";

/// A client that waits, and what the page says of it when asked.
async fn held(gate: &Running, page: &mut Page) -> Raw {
    let mut client = gate.held_client().await;
    client.send_frame(&Frame::text("early")).await;
    gate.holds_bytes(|bytes| bytes > 0).await;
    page.sees(&[("#flow [data-key=held] .count", "1"), ("#sessions tr", "1 frame"), ("#hold-sessions", "1 of")]).await;
    page.click("#sessions button").await;
    page.sees(&[("#h-session", "Session 1"), ("#answer", "It waits for upstream."), ("#steps tr", "held")]).await;
    page.shoot("session").await;
    page.click("#close").await;
    client
}

async fn leave(mut client: Raw) {
    client.send_frame(&Frame::close(1000, "")).await;
    client.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_markup_is_shown_as_text_in_the_list_and_in_the_dialog() {
    let (echo, cache) = (Echo::start().await, Cache::start().await);
    let gate = started(&echo, &cache).await;
    let mut client = gate.client().await;
    client.ask(&format!("/ws/{}", MARKUP.replace(' ', "/")), &[]).await;
    assert_eq!(
        client.response().await.status(),
        400,
        "no client's path holds < or >, but the page does not rely on it"
    );
    let path = format!("/ws/{MARKUP}");
    let entry = gate.invents(&path);
    let mut page = Page::open(gate.admin).await;
    page.sees(&[("#sessions .path", &path)]).await;
    page.click("#sessions button").await;
    page.sees(&[("#facts dd", &path), ("#answer", "It waits for upstream.")]).await;
    assert_eq!(page.count(INTRUDERS).await, 0);
    assert_eq!(page.complaints().await, json!([]));
    drop(entry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_place_among_the_listeners_asks_by_itself() {
    let (echo, cache) = (Echo::start().await, Cache::start().await);
    let gate = started(&echo, &cache).await;
    let mut listeners = Vec::new();
    loop {
        let mut listener = gate.listener().await;
        match listener.head().await.status() {
            200 => listeners.push(listener),
            503 => break,
            status => panic!("/events answers {status}"),
        }
    }
    let mut page = Page::open(gate.admin).await;
    page.sees(&[("#link", "asked every few seconds"), ("#word", "Shut")]).await;
    drop(listeners);
    page.sees(&[("#link", "live"), ("#word", "Shut")]).await;
    gate.open().await;
    page.sees(&[("#word", "Open")]).await;
}

/// Two routes that need the upstream and the cache, which is optional; one that needs the upstream alone.
async fn started(echo: &Echo, cache: &Cache) -> Running {
    let dependency = format!("dependencies.cache = {{ check = \"redis://{}\", required = false }}", cache.address);
    let routes = "routes = [{ path = \"/ws/*\" }, { path = \"/plain\", depends_on = [] }]";
    let lines = [&dependency, routes, "drain.timeout = \"60s\""].join("\n");
    Setup::shut(echo.address).with(&lines).start().await
}

/// A Redis server that can be made to answer with markup.
struct Cache {
    address: SocketAddr,
    hostile: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Cache {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, hostile) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (mut task, asked) = (JoinSet::new(), Arc::clone(&hostile));
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // PING is one small segment.
                let Ok(_) = stream.read(&mut [0; 1024]).await else { continue };
                let refusal = format!("-LOADING {MARKUP}\r\n");
                let answer = if asked.load(Ordering::SeqCst) { refusal.as_str() } else { "+PONG\r\n" };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, hostile, _task: task }
    }

    fn answer_markup(&self) {
        self.hostile.store(true, Ordering::SeqCst);
    }
}
