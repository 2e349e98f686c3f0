//! The Google Cloud project that log lines name their traces by: from a variable, or from the metadata server, which is asked
//! in the background. Nothing waits for it, and nothing depends on it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};

use crate::{
    config::{Environment, Target},
    dial::Dialer,
    telemetry::log,
};

/// The variable that App Engine sets, and operators elsewhere.
const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";
/// Where a metadata server is said to be; Google's own libraries read it too.
const METADATA_HOST: &str = "GCE_METADATA_HOST";
/// Where there is one in any case (<https://cloud.google.com/run/docs/container-contract#metadata-server>).
const PLATFORMS: [&str; 3] = ["K_SERVICE", "K_REVISION", "GAE_APPLICATION"];
/// Its address by name and number; the number needs no resolver.
const USUAL_HOST: &str = "169.254.169.254";
const HTTP_PORT: u16 = 80;

/// What is asked, and the header without which it is not answered, by which the answer is known too.
const PATH: &str = "/computeMetadata/v1/project/project-id";
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// It answers within milliseconds, or is not there.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// In a first minute without CPU some may be missed; after two minutes it is given up.
const ATTEMPTS: u32 = 7;

/// An id has at most 30 characters, and a domain in front of it where it is very old.
const MOST_BYTES: usize = 128;

/// Where the project's id is to be found.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// It is known.
    Known(String),
    /// A metadata server may tell.
    Ask(Target),
    /// This is not Google's cloud.
    Nowhere,
}

impl Source {
    /// As the variables say.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let value = |name: &str| environment.variable(name).filter(|value| !value.is_empty());
        if let Some(project) = value(PROJECT).filter(|project| is_project(project)) {
            return Self::Known(project.to_owned());
        }
        match value(METADATA_HOST) {
            Some(host) => Self::Ask(target(host)),
            None if PLATFORMS.into_iter().any(|name| value(name).is_some()) => Self::Ask(target(USUAL_HOST)),
            None => Self::Nowhere,
        }
    }

    /// Finds it, and names it to the log.
    pub async fn learn(self) {
        match self {
            Self::Known(project) => log::name_project(project),
            Self::Ask(server) => ask_until_told(&server).await,
            Self::Nowhere => {}
        }
    }
}

async fn ask_until_told(server: &Target) {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        }
        if let Ok(Some(project)) = timeout(TIMEOUT, ask(server)).await {
            tracing::info!(project, "traces are named by this project");
            return log::name_project(project);
        }
    }
    tracing::info!("the metadata server does not say which project this is: set GOOGLE_CLOUD_PROJECT");
}

async fn ask(server: &Target) -> Option<String> {
    let stream = Dialer::new(server, TIMEOUT).ok()?.connect().await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(PATH).header(header::HOST, &server.host).header(FLAVOR.0, FLAVOR.1);
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let answered = async {
        let answer = sender.send_request(request).await.ok()?;
        let is_told = answer.status() == 200 && answer.headers().get(FLAVOR.0).is_some_and(|flavor| flavor == FLAVOR.1);
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.ok().filter(|_| is_told)?;
        String::from_utf8(body.to_bytes().into()).ok().filter(|project| is_project(project))
    };
    tokio::pin!(answered);
    tokio::select! {
        biased;
        project = &mut answered => project,
        _ = connection => answered.await,
    }
}

fn target(host: &str) -> Target {
    let split = host.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = split.unwrap_or((host, HTTP_PORT));
    Target { host: host.to_owned(), port, tls: None }
}

/// What may stand between two slashes of a trace's name.
fn is_project(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    !text.is_empty() && text.len() <= MOST_BYTES && text.bytes().all(is_sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(host: &str, port: u16) -> Source {
        Source::Ask(Target { host: host.to_owned(), port, tls: None })
    }

    #[test]
    fn a_variable_counts_before_any_server_and_elsewhere_nobody_is_asked() {
        let service = ("K_SERVICE", "s");
        let of = |variables: &[(&str, &str); 3]| Source::of(&Environment::with_variables(*variables));
        let none = ("", "");
        assert_eq!(of(&[service, (METADATA_HOST, "h"), (PROJECT, "my-project")]), Source::Known("my-project".into()));
        assert_eq!(of(&[service, (METADATA_HOST, "127.0.0.1:81"), none]), ask("127.0.0.1", 81));
        assert_eq!(of(&[service, (METADATA_HOST, ""), (PROJECT, "")]), ask(USUAL_HOST, HTTP_PORT));
        assert_eq!(of(&[none, (METADATA_HOST, "metadata"), none]), ask("metadata", HTTP_PORT));
        assert_eq!(of(&[none, none, ("KUBERNETES_SERVICE_HOST", "10.0.0.1")]), Source::Nowhere);
    }

    #[test]
    fn what_cannot_be_a_project_is_none() {
        assert!(["p1", "my-project-123", "example.com:old"].into_iter().all(is_project));
        assert!(!["", "My", "a/b", "a\"b", "a b", &"p".repeat(129)].into_iter().any(is_project));
        assert_eq!(Source::of(&Environment::with_variables([(PROJECT, "a/traces/b")])), Source::Nowhere);
    }
}
