//! `POST /reload`, and what `/status` tells of the configuration's file.

use hyper::{StatusCode, header::HeaderValue};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    View,
    routes::{Answer, json, respond},
    status::time,
};
use crate::config::{self, Place, Problem, ReloadOutcome};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The way to whoever looks after the file.
#[derive(Debug)]
pub struct Reloading {
    /// Has the file looked at; the answer comes back. Closed while the process drains.
    pub asks: mpsc::Sender<oneshot::Sender<ReloadOutcome>>,
    /// What is in force.
    pub standing: watch::Receiver<config::Standing>,
}

/// How the configuration in force came to be, for `/status`.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Standing {
    file: String,
    loaded_at: String,
    hash: String,
    changed: Vec<String>,
    restart_needed: Vec<String>,
    /// Why what the file holds at this moment is not in force.
    last_error: Option<Refusal>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Refusal {
    at: String,
    problems: Vec<Fault>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Fault {
    problem: String,
    line: Option<usize>,
    column: Option<usize>,
}

/// None where the process was started without a file.
pub(super) fn standing(view: &View) -> Option<Standing> {
    Some(Standing::from(&*view.reloading.get()?.standing.borrow()))
}

/// Looks at the file at once, and says what came of it.
pub(super) async fn answer(view: &View) -> Answer {
    let Some(reloading) = view.reloading.get() else {
        return json(StatusCode::CONFLICT, &json!({ "error": "this process has no configuration file" }));
    };
    let (sender, outcome) = oneshot::channel();
    // Whoever looks after the file goes first when the process drains.
    let _ = reloading.asks.send(sender).await;
    match outcome.await {
        Ok(outcome) => told(outcome),
        Err(_) => json(StatusCode::CONFLICT, &json!({ "error": "the process is draining" })),
    }
}

fn told(outcome: ReloadOutcome) -> Answer {
    let result = outcome.label();
    match outcome {
        ReloadOutcome::Unchanged => json(StatusCode::OK, &json!({ "result": result, "changed": [] })),
        ReloadOutcome::Changed { changed, restart_needed } => {
            json(StatusCode::OK, &json!({ "result": result, "changed": changed, "restart_needed": restart_needed }))
        }
        ReloadOutcome::Refused(problems) => respond(StatusCode::UNPROCESSABLE_ENTITY, TEXT, format!("{problems}\n")),
    }
}

impl From<&config::Standing> for Standing {
    fn from(standing: &config::Standing) -> Self {
        Self {
            file: standing.file.clone(),
            loaded_at: time(standing.loaded_at),
            hash: standing.hash.clone(),
            changed: standing.changed.clone(),
            restart_needed: standing.restart_needed.clone(),
            last_error: standing.refusal.as_ref().map(Refusal::from),
        }
    }
}

impl From<&config::Refusal> for Refusal {
    fn from(refusal: &config::Refusal) -> Self {
        Self { at: time(refusal.at), problems: refusal.problems.iter().map(Fault::from).collect() }
    }
}

impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        let (line, column) = match &problem.place {
            Place::Text { line, column, .. } => (Some(*line), Some(*column)),
            Place::File(_) | Place::Variable(_) => (None, None),
        };
        Self { problem: problem.to_string(), line, column }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::admin::tests::view;

    /// A port, and whoever looks after the file.
    fn with_a_file() -> (std::sync::Arc<View>, mpsc::Receiver<oneshot::Sender<ReloadOutcome>>) {
        let (view, (asks, asked)) = (view(), mpsc::channel(1));
        let standing = config::Standing {
            file: "proxy.toml".to_owned(),
            loaded_at: SystemTime::UNIX_EPOCH,
            hash: "f00d".to_owned(),
            changed: Vec::new(),
            restart_needed: vec!["server.listen".to_owned()],
            refusal: None,
        };
        let (_, standing) = watch::channel(standing);
        view.set_reloading(Reloading { asks, standing });
        (view, asked)
    }

    #[tokio::test]
    async fn whoever_asks_hears_what_came_of_it() {
        let (view, mut asked) = with_a_file();
        let refused = ReloadOutcome::Refused(config::Problems::one(Problem::of_file("proxy.toml", "no such file")));
        for (outcome, status) in [(ReloadOutcome::Unchanged, 200), (refused, 422)] {
            let answered = async { asked.recv().await.unwrap().send(outcome).unwrap() };
            let (answer, ()) = tokio::join!(answer(&view), answered);
            assert_eq!(answer.status(), status);
        }
    }

    #[tokio::test]
    async fn when_nobody_looks_after_the_file_any_more_that_is_said() {
        let (view, asked) = with_a_file();
        drop(asked);
        assert_eq!(answer(&view).await.status(), StatusCode::CONFLICT);
        assert_eq!(standing(&view).unwrap().restart_needed, ["server.listen"]);
    }
}
