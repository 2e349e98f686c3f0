//! A service under soak: readygate, a backend, a Redis, and what the three have to say.

use std::{collections::HashMap, fs, time::Duration};

use futures_util::future::join_all;
use socket2::Socket;
use tokio::time::{interval, timeout};

use super::{
    backend::{Backend, CHECK},
    growth::Figures,
};
use crate::{
    dependencies::redis::Redis,
    harness::gate::{admin, post},
    race::{reserve, sidecar::Sidecar},
};

/// Quick checks; and so patient that a busy machine fails none. Nobody's hold ends but on the route that is about that.
const REST_OF_CONFIG: &str = "[probe]\ninterval = \"20ms\"\nbackoff = { initial = \"5ms\", max = \"20ms\" }\nfall = 1\nprofile = 10\n\
     [hold]\nconnection_bytes = \"16KiB\"\nping_interval = \"300s\"\n\
     [[routes]]\npath = \"/brief\"\nhold_timeout = \"50ms\"\n";

/// `gate.release.concurrency`, by turns: a reload that changes something.
const RELEASES: [usize; 2] = [64, 16];

/// All that answers on the admin port.
const ASKED: [&str; 7] = ["/metrics", "/status", "/sessions", "/gate", "/readyz", "/livez", "/"];

/// For the process to come to rest, once its sessions have ended. Only a leak takes that long.
const REST_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(10);

/// Looks of which the lowest figures are what the process has at rest: a check may be under way in any one of them.
const LOOKS: usize = 50;

/// The three.
pub(crate) struct Service {
    pub(crate) gate: Sidecar,
    pub(crate) backend: Backend,
    pub(crate) redis: Redis,
    reloads: usize,
    _place: Socket,
}

/// readygate's own count of what it was sent before sessions were open, and of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) received: usize,
    pub(crate) delivered: usize,
    pub(crate) refused: usize,
    /// That have ended, whatever their outcome.
    pub(crate) sessions: usize,
}

impl Service {
    /// With an open gate.
    pub(crate) async fn start() -> Self {
        let (place, port) = reserve();
        let (redis, backend) = (Redis::start_on(port), Backend::start());
        let gate = Sidecar::start(backend.address, &config(port, RELEASES[0]));
        let service = Self { gate, backend, redis, reloads: 0, _place: place };
        service.verdict("open").await;
        service
    }

    pub(crate) async fn verdict(&self, verdict: &str) {
        let name = format!("readygate_gate_verdict{{route=\"*\",verdict=\"{verdict}\"}}");
        self.until(&name, 1).await;
    }

    /// Waits until a metric is as wanted.
    pub(crate) async fn until(&self, name: &str, wanted: usize) {
        self.gate.until(&format!("{name} is {wanted}"), |metrics| metrics[name] == wanted as f64).await;
    }

    /// Everything that an operator may ask is asked.
    pub(crate) async fn looked_at(&self) {
        let answers = join_all(ASKED.map(|path| admin(self.gate.admin, path))).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status()).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    }

    /// The other of the two configurations comes into force.
    pub(crate) async fn reload(&mut self) {
        self.reloads += 1;
        let text = config(self.redis.port, RELEASES[self.reloads % RELEASES.len()]);
        self.gate.configure(self.backend.address, &text);
        let answer = post(self.gate.admin, "/reload").await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    /// Nothing is held and no session lives.
    pub(crate) async fn is_empty(&self) {
        self.gate.until("every session has ended", nothing_is_left).await;
    }

    /// The same, and the process is at rest: whatever the process needs then, or more if it does not come back to `base`.
    pub(crate) async fn at_rest(&self, base: Option<&Figures>) -> Figures {
        self.is_empty().await;
        let mut lowest = self.figures().await;
        let mut ticks = interval(LOOK);
        let mut looks = 0;
        let looking = async {
            while base.map_or(looks < LOOKS, |base| !lowest.is_back_at(base)) {
                ticks.tick().await;
                lowest = lowest.lowest(self.figures().await);
                looks += 1;
            }
        };
        // Whoever judges sees that it did not come back.
        let _ = timeout(REST_WITHIN, looking).await;
        lowest
    }

    pub(crate) async fn books(&self) -> Books {
        let metrics = self.gate.metrics().await;
        assert_eq!(metrics["readygate_ledger_imbalance_total"], 0.0);
        let fate = |fate: &str| metrics[&format!("readygate_frames_total{{fate=\"{fate}\"}}")] as usize;
        let sessions = sum(&metrics, "readygate_sessions_total{") as usize;
        Books { received: fate("received"), delivered: fate("delivered"), refused: fate("refused"), sessions }
    }

    async fn figures(&self) -> Figures {
        let metrics = self.gate.metrics().await;
        let figure = |name: &str| metrics[name] as u64;
        Figures {
            memory: own_memory(self.gate.pid()),
            descriptors: figure("process_open_fds"),
            tasks: figure("readygate_runtime_tasks"),
            threads: figure("process_threads"),
        }
    }
}

impl Books {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received - earlier.received,
            delivered: self.delivered - earlier.delivered,
            refused: self.refused - earlier.refused,
            sessions: self.sessions - earlier.sessions,
        }
    }
}

fn config(redis: u16, release: usize) -> String {
    format!(
        "{CHECK}[dependencies.cache]\ncheck = \"redis://127.0.0.1:{redis}\"\n\
         [gate]\nhold_timeout = \"300s\"\nrelease = {{ concurrency = {release} }}\n{REST_OF_CONFIG}"
    )
}

fn nothing_is_left(metrics: &HashMap<String, f64>) -> bool {
    let rest = ["readygate_sessions{", "readygate_hold_bytes", "readygate_hold_frames", "readygate_hold_budget_taken_"];
    rest.iter().all(|name| sum(metrics, name) == 0.0)
}

/// Of all series that begin so.
fn sum(metrics: &HashMap<String, f64>, start: &str) -> f64 {
    metrics.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
}

/// Bytes of anonymous pages: what a process has taken for itself. The program's own pages come in as code first runs.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
