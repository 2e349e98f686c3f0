//! `readygate check`: says whether a configuration is sound, and if not, everything that is wrong with it.

use std::{
    io::{self, Write},
    path::Path,
};

use crate::config::{Check, CheckKind, Config, Dependency, Environment, Loaded, Route, Target};

/// Prints every problem a line, or that there is none with a short summary. Returns the configuration where it is
/// sound; none means exit code 2.
///
/// # Errors
///
/// Those of writing to `out`.
pub fn run(path: &Path, environment: &Environment, out: &mut impl Write) -> io::Result<Option<Config>> {
    match Config::load_with_warnings(path, environment) {
        Ok(Loaded { config, warnings, .. }) => {
            for warning in warnings {
                writeln!(out, "warning: {warning}")?;
            }
            print_summary(path, &config, out)?;
            Ok(Some(config))
        }
        Err(problems) => {
            writeln!(out, "{problems}")?;
            Ok(None)
        }
    }
}

fn print_summary(path: &Path, config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}: ok", path.display())?;
    let tls = if config.server.tls.is_some() { " (TLS)" } else { "" };
    writeln!(out, "  listen    {}{tls}, admin {}", config.server.listen, config.admin.listen)?;
    writeln!(out, "  upstream  {}", address(&config.upstream.target))?;
    for check in &config.upstream.checks {
        writeln!(out, "  check     {}", line_of(check))?;
    }
    if config.upstream.check_is_guess {
        writeln!(out, "            a guess: a bound port is not a ready backend; set upstream.check")?;
    }
    print_dependencies(config, out)?;
    for route in &config.routes {
        writeln!(out, "  route     {}", line_of_route(route, &config.dependencies))?;
    }
    writeln!(out, "  profile   {}, patience {}", config.profile.place.label(), config.profile.patience)
}

fn print_dependencies(config: &Config, out: &mut impl Write) -> io::Result<()> {
    for dependency in &config.dependencies {
        let optional = if dependency.required { "" } else { " (optional)" };
        writeln!(out, "  needs     {}{optional}", line_of(&dependency.check))?;
    }
    if !config.dependencies.is_empty() && !config.features.dependency_checks {
        writeln!(out, "            not checked: features.dependency_checks is off")?;
    }
    Ok(())
}

fn line_of_route(route: &Route, dependencies: &[Dependency]) -> String {
    let needed = route.depends_on.iter().filter_map(|place| dependencies.get(*place));
    let names: Vec<&str> = needed.map(|dependency| dependency.check.name.as_str()).collect();
    let and = if names.is_empty() { "" } else { ", " };
    format!("{}: upstream{and}{}", route.path.as_str(), names.join(", "))
}

fn line_of(check: &Check) -> String {
    let (kind, target, path) = match &check.kind {
        CheckKind::Tcp(target) => ("tcp", target, ""),
        CheckKind::Http(http) => ("http", &http.target, http.shown_path()),
        CheckKind::Ws(ws) => ("ws", &ws.target, ws.shown_path()),
        CheckKind::Redis(redis) => ("redis", &redis.target, ""),
        CheckKind::Postgres(postgres) => ("postgres", &postgres.target, ""),
        CheckKind::Grpc(grpc) => ("grpc", &grpc.target, ""),
    };
    format!("{}: {kind} {}{path}", check.name, address(target))
}

fn address(target: &Target) -> String {
    let tls = if target.tls.is_some() { "TLS " } else { "" };
    format!("{tls}{}", target.address())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::run;
    use crate::config::Environment;

    /// What is printed of a text, with the directory cut off, and whether it is sound.
    fn printed(text: &str) -> (String, bool) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("proxy.toml");
        fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let config = run(&path, &Environment::with_variables([]), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap().replace(&format!("{}/", directory.path().display()), "");
        (out, config.is_some())
    }

    #[test]
    fn a_sound_file_is_summed_up() {
        let checks = r#"check = ["/ready?token=s3cret", "tls://[::1]:6380", "ws://h/ws"]"#;
        let (out, is_sound) = printed(&format!("[upstream]\nurl = \"http://127.0.0.1:8081\"\n{checks}\n"));
        let expected = [
            "proxy.toml: ok",
            "  listen    0.0.0.0:8080, admin 127.0.0.1:9090",
            "  upstream  127.0.0.1:8081",
            "  check     upstream: http 127.0.0.1:8081/ready",
            "  check     upstream-2: tcp TLS [::1]:6380",
            "  check     upstream-3: ws h:80/ws",
            "  route     *: upstream",
            "  profile   local, patience 0.3",
        ];
        assert_eq!((out.lines().collect::<Vec<_>>(), is_sound), (expected.to_vec(), true));
    }

    #[test]
    fn dependencies_and_routes_are_listed_without_their_secrets() {
        let more = [
            "[dependencies.cache]\ncheck = \"rediss://:s3cret@10.0.0.3/0\"",
            "[dependencies.llm]\ncheck = \"grpc://10.0.0.9:50051/my.Service\"\nrequired = false",
            "[[routes]]\npath = \"/ws/*\"\ndepends_on = [\"cache\"]",
            "[[routes]]\npath = \"/echo\"\ndepends_on = []",
            "[features]\ndependency_checks = false",
            "[probe]\nprofile = 2",
        ];
        let (out, is_sound) = printed(&format!("[upstream]\nurl = \"http://h\"\ncheck = \"/\"\n{}", more.join("\n")));
        let expected = [
            "  needs     cache: redis TLS 10.0.0.3:6379",
            "  needs     llm: grpc 10.0.0.9:50051 (optional)",
            "            not checked: features.dependency_checks is off",
            "  route     /ws/*: upstream, cache",
            "  route     /echo: upstream",
            "  route     *: upstream, cache, llm",
            "  profile   local, patience 2",
        ];
        assert_eq!((out.lines().skip(4).collect::<Vec<_>>(), is_sound), (expected.to_vec(), true));
        assert!(!out.contains("s3cret"), "{out}");
    }

    #[test]
    fn a_guess_and_a_warning_are_said() {
        let gate = "[gate]\nallowed_origins = [\"*\", \"same-host\"]\n";
        let (out, is_sound) = printed(&format!("[upstream]\nurl = \"https://h\"\n{gate}"));
        assert!(is_sound);
        assert!(out.starts_with("warning: proxy.toml:4:19: \"*\" takes all origins"), "{out}");
        assert!(out.contains("  check     upstream: tcp TLS h:443\n            a guess:"), "{out}");
    }

    #[test]
    fn every_problem_of_a_bad_file_is_printed_on_a_line() {
        let (out, is_sound) = printed("[hold]\nsessions = 0\n[drain]\ntimeout = \"0s\"\n");
        assert!(!is_sound);
        let places: Vec<&str> = out.lines().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
        assert_eq!(places, ["proxy.toml", "proxy.toml:2:12", "proxy.toml:4:11"]);
    }
}
