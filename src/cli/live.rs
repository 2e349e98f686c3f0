//! `readygate check --live`: asks everything once and says what came back.

use std::{
    io::{self, Write},
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    config::Config,
    gate::{Failure, Plan, Role, plan::PlannedCheck},
    probe,
};

/// Runs each check once, all at a time, and prints a table of verdict, latency, reason and hint. True if all pass that
/// are required.
///
/// # Errors
/// Those of writing to `out`.
pub async fn run(config: &Config, out: &mut impl Write) -> io::Result<bool> {
    let checks = Plan::of(config).checks;
    let results = join_all(checks.iter().map(|planned| probe::once(&planned.check))).await;
    let width = checks.iter().map(|planned| planned.check.name.len()).max().unwrap_or_default().max("check".len());
    writeln!(out, "\n{:<width$}  {:<8}  {:<11} {:>10}  reason", "check", "kind", "verdict", "latency")?;
    for (planned, (result, took)) in checks.iter().zip(&results) {
        writeln!(out, "{}", line(planned, result, *took, width))?;
    }
    Ok(checks.iter().zip(&results).all(|(planned, (result, _))| result.is_ok() || planned.role == Role::Optional))
}

fn line(planned: &PlannedCheck, result: &Result<(), Failure>, took: Duration, width: usize) -> String {
    let (name, kind) = (&planned.check.name, planned.check.kind.label());
    let verdict = result.as_ref().map_or_else(|failure| failure.class.label(), |()| "passing");
    let millis = took.as_secs_f64() * 1e3;
    let reason = result.as_ref().err().map(|failure| explained(failure, planned.role)).unwrap_or_default();
    format!("{name:<width$}  {kind:<8}  {verdict:<11} {millis:>7.1} ms  {reason}").trim_end().to_owned()
}

fn explained(failure: &Failure, role: Role) -> String {
    let hint = failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let optional = if role == Role::Optional { " (optional: degrades, does not shut)" } else { "" };
    format!("{}{hint}{optional}", failure.reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use tokio::net::TcpListener;

    async fn printed(required: bool) -> (String, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dropped = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let text = format!(
            "[upstream]\nurl = \"http://127.0.0.1:{port}\"\n\
             [dependencies.cache]\ncheck = \"tcp://127.0.0.1:{dropped}\"\nrequired = {required}\n"
        );
        let config = Config::parse(&text, "proxy.toml", &Environment::with_variables([])).unwrap();
        let mut out = Vec::new();
        let all_pass = run(&config, &mut out).await.unwrap();
        (String::from_utf8(out).unwrap(), all_pass)
    }

    #[tokio::test]
    async fn every_check_has_a_line_with_what_it_found_and_what_to_do() {
        let (text, all_pass) = printed(true).await;
        let lines: Vec<&str> = text.trim().lines().collect();
        assert_eq!((lines.len(), all_pass), (3, false), "{text}");
        assert!(lines[1].starts_with("upstream  tcp       passing"), "{text}");
        assert!(lines[2].starts_with("cache     tcp       refused"), "{text}");
        assert!(lines[2].ends_with("refused; does anything listen there?"), "{text}");
    }

    #[tokio::test]
    async fn an_optional_check_that_fails_does_not_fail_the_command() {
        let (text, all_pass) = printed(false).await;
        assert!(all_pass && text.contains("(optional: degrades, does not shut)"), "{text}");
    }
}
