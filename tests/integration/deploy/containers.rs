//! The image, compose and systemd.

use std::{fs, path::Path, process::Command};

use readygate::{
    cli::doctor::yaml::Node,
    config::{Config, Environment},
};
use tempfile::TempDir;

use super::{items, lines, text, yaml};
use crate::harness::{gate::Setup, process::run, upstream::nowhere};

/// Where the image keeps the configuration; every manifest mounts it there.
const CONFIG: &str = "/etc/readygate/proxy.toml";

#[test]
fn the_image_is_built_by_a_command_that_cargo_takes() {
    let directory = TempDir::new().unwrap();
    copied_into(directory.path());
    let dockerfile = text("Dockerfile");
    let command = instructions(&dockerfile, "RUN").into_iter().find(|run| run.starts_with("cargo build ")).unwrap();
    let flags: Vec<&str> = command.split(' ').skip(2).collect();
    assert_eq!(flags, ["--release", "--locked", "--bin", "readygate"]);
    // Help comes only after every flag before it was taken.
    cargo(directory.path(), &[&["build"], flags.as_slice(), &["-h"]].concat());
    // What was copied is a package that cargo reads, with the program in it.
    let metadata =
        cargo(directory.path(), &["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap();
    assert!(targets.iter().any(|target| target["kind"][0] == "bin" && target["name"] == "readygate"), "{targets:?}");
}

#[test]
fn nothing_that_is_compiled_reaches_outside_of_what_the_image_copies() {
    let mut outside = Vec::new();
    reaching_outside(&root("src"), &mut outside);
    assert_eq!(outside, [""; 0]);
    assert!(is_outside("src/a/b.rs", "const A: &str = include_str!(\"../../proxy.toml\");"));
    assert!(!is_outside(
        "src/a/b.rs",
        "#[cfg(test)] mod tests { const A: &str = include_str!(\"../../proxy.toml\"); }"
    ));
    assert!(!is_outside("src/a/b.rs", "const A: &str = include_str!(\"../page.html\");"));
}

#[test]
fn the_image_is_of_the_rust_that_the_package_asks_for() {
    let manifest = fs::read_to_string(root("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let dockerfile = text("Dockerfile");
    let stages = instructions(&dockerfile, "FROM");
    assert_eq!(stages.len(), 2);
    assert!(stages[0].starts_with(&format!("rust:{version}-slim-")), "{stages:?}");
    assert!(stages[1].starts_with("gcr.io/distroless/cc-") && stages[1].ends_with(":nonroot"), "{stages:?}");
}

#[tokio::test]
async fn the_image_runs_readygate_as_nobody_in_particular_and_its_health_check_works() {
    let dockerfile = text("Dockerfile");
    let one = |name: &str| instructions(&dockerfile, name).pop().unwrap();
    let list = |text: &str| -> Vec<String> { serde_json::from_str(text).unwrap() };
    let entry = list(&one("ENTRYPOINT"));
    assert_eq!(
        (entry.as_slice(), list(&one("CMD"))),
        (["/usr/local/bin/readygate".to_owned()].as_slice(), vec!["run".to_owned()])
    );
    let user: Vec<String> = one("USER").split(':').map(str::to_owned).collect();
    assert!(user.iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user:?}");
    assert_eq!(one("ENV"), format!("READYGATE_CONFIG={CONFIG}"));

    let check = one("HEALTHCHECK");
    let (_, command) = check.split_once("CMD ").unwrap();
    let command = list(command);
    assert_eq!(command[0], entry[0]);
    let mut arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
    // The machine may be busy.
    arguments.extend(["--timeout", "20s"]);
    let gate = Setup::open(nowhere().await).start().await;
    let file = format!("admin.listen = \"{}\"\nupstream.url = \"http://127.0.0.1:1\"\n", gate.admin);
    let files = [("elsewhere.toml", file.as_str())];
    let ended = run(&arguments, &[("READYGATE_CONFIG", "elsewhere.toml")], &files).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn compose_publishes_readygate_alone_and_shares_its_network_with_the_application() {
    let compose = yaml("compose/compose.yaml");
    let services = compose[0].get("services").unwrap();
    let with_ports: Vec<&str> = services
        .entries()
        .iter()
        .filter(|service| service.node.get("ports").is_some())
        .map(|s| s.key.as_str())
        .collect();
    assert_eq!(with_ports, ["readygate"]);
    let gate = services.get("readygate").unwrap();
    let config = Config::parse(&text("compose/proxy.toml"), "proxy.toml", &Environment::with_variables([])).unwrap();
    let (public, admin) = (config.server.listen.port(), config.admin.listen.port());
    assert_eq!(items(gate, &["ports"]), [format!("{public}:{public}"), format!("127.0.0.1:{admin}:{admin}")]);
    assert_eq!(items(gate, &["volumes"]), [format!("./proxy.toml:{CONFIG}:ro")]);
    let app = services.get("app").unwrap();
    assert_eq!(app.get("network_mode").and_then(Node::text), Some("service:readygate"));
    let port = app.find(&["environment", "PORT"]).and_then(Node::whole);
    assert_eq!(port, Some(u64::from(config.upstream.target.port)));
    let build = gate.find(&["build", "dockerfile"]).and_then(Node::text).unwrap();
    assert!(root(build).exists(), "{build}");
    let grace = gate.get("stop_grace_period").and_then(Node::text).unwrap();
    assert!(humantime::parse_duration(grace).unwrap() > config.drain.timeout);
    assert!(gate.get("depends_on").is_none());
}

#[test]
fn systemd_checks_before_it_starts_and_waits_for_the_drain() {
    let unit = text("systemd/readygate.service");
    let value = |key: &str| -> &str {
        let found: Vec<&str> =
            lines(&unit).iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
        let [value] = found[..] else { panic!("{key} stands there {} times", found.len()) };
        value
    };
    assert_eq!(value("ExecStart"), format!("/usr/local/bin/readygate run --config {CONFIG}"));
    assert_eq!(value("ExecStartPre"), format!("/usr/local/bin/readygate check --config {CONFIG}"));
    assert_eq!(value("DynamicUser"), "yes");
    // Wrong usage or configuration.
    assert_eq!(value("RestartPreventExitStatus"), "2");
    let text = "upstream.url = \"http://127.0.0.1:1\"";
    let defaults = Config::parse(text, "proxy.toml", &Environment::with_variables([])).unwrap();
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > defaults.drain.timeout.as_secs());
    assert!(value("LimitNOFILE").parse::<usize>().unwrap() >= 2 * defaults.hold.sessions);
}

/// What follows an instruction of a Dockerfile, each time it stands there.
fn instructions(dockerfile: &str, name: &str) -> Vec<String> {
    lines(dockerfile).iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned).collect()
}

/// What the first stage copies out of the repository, none of which its ignore file leaves out.
fn copied_into(directory: &Path) {
    let (dockerfile, ignored) = (text("Dockerfile"), text("Dockerfile.dockerignore"));
    let sent: Vec<&str> = lines(&ignored).iter().filter_map(|line| line.strip_prefix('!')).collect();
    for copy in instructions(&dockerfile, "COPY").iter().filter(|copy| !copy.starts_with("--from")) {
        let mut names: Vec<&str> = copy.split(' ').collect();
        let target = names.pop().unwrap();
        for name in names {
            assert!(sent.contains(&name), "{name} is not sent to the build");
            let to = if target == "./" { directory.join(name) } else { directory.join(target) };
            copy_all(&root(name), &to);
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy_all(&entry.path(), &to.join(entry.file_name()));
    }
}

/// Files below a directory of sources that include a text from above it, but for tests, which the image has not.
fn reaching_outside(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            reaching_outside(&path, found);
            continue;
        }
        let name = path.strip_prefix(root("")).unwrap().display().to_string();
        let is_test = name.contains("tests/") || name.ends_with("tests.rs");
        if !is_test && fs::read_to_string(&path).is_ok_and(|text| is_outside(&name, &text)) {
            found.push(name);
        }
    }
}

fn is_outside(name: &str, text: &str) -> bool {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    // From a file of `src/` itself one step up is outside already.
    let above = "../".repeat(name.matches('/').count());
    ["include_str!(\"", "include_bytes!(\""].iter().any(|include| code.contains(&format!("{include}{above}")))
}

fn cargo(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(directory).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
