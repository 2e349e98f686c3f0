//! `readygate doctor`: whole files as people write them, exit codes, and what it says.

use std::path::PathBuf;

use crate::harness::process::{Ended, run};

#[tokio::test]
async fn everything_wrong_with_a_service_of_cloud_run_is_named_at_once() {
    finds("cloud-run/service.yaml", "cloud-run/expected.txt").await;
}

#[tokio::test]
async fn everything_wrong_with_a_pod_and_its_service_is_named_at_once() {
    finds("kubernetes/chat.yaml", "kubernetes/expected.txt").await;
}

#[tokio::test]
async fn a_configuration_named_on_the_command_line_is_the_one_that_counts() {
    let (manifest, other) = (path("kubernetes/chat.yaml"), path("cloud-run/proxy.toml"));
    let ended = run(&["doctor", &manifest, "--config", &other], &[("REDIS_PASSWORD", "not the pod's")], &[]).await;
    assert_eq!(ended.code, Some(2));
    let unset = format!("{other}:6:9: ${{REDIS_PASSWORD}} in dependencies.cache.check: ");
    assert!(ended.stdout.starts_with(&unset), "{ended:?}");
}

#[tokio::test]
async fn what_is_allowed_is_not_found() {
    let manifest = "kind: Pod\nspec:\n  terminationGracePeriodSeconds: 1\n  containers: [{name: readygate}]\n";
    let files = [("pod.yaml", manifest), ("proxy.toml", "upstream.url = \"http://127.0.0.1:1\"\n")];
    let ended = run(&["doctor", "pod.yaml"], &[], &files).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.starts_with("pod.yaml:3:34: ") && ended.stdout.ends_with(" [grace]\n"), "{ended:?}");
    let ended = run(&["doctor", "pod.yaml", "--allow", "grace"], &[], &files).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "pod.yaml: ok\n"));
}

#[tokio::test]
async fn what_cannot_be_judged_is_wrong_usage() {
    let ended = run(&["doctor", "none.yaml"], &[], &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), "none.yaml: no such file\n"));
    let broken = run(&["doctor", "a.yaml"], &[], &[("a.yaml", "kind: [\n")]).await;
    assert_eq!(broken.code, Some(2));
    assert!(broken.stdout.starts_with("a.yaml:2:1: "), "{broken:?}");
    for arguments in [&["doctor"][..], &["doctor", "a.yaml", "--allow", "everything"]] {
        assert_eq!(run(arguments, &[], &[]).await.code, Some(2), "{arguments:?}");
    }
}

/// A file below this directory is found to have exactly what another one says.
async fn finds(manifest: &str, expected: &str) {
    let ended: Ended = run(&["doctor", &path(manifest)], &[], &[]).await;
    let said = ended.stdout.replace(&path(""), "");
    let expected = std::fs::read_to_string(path(expected)).unwrap();
    assert!(said == expected, "it says:\n{said}\nand should say:\n{expected}");
    assert_eq!(ended.code, Some(1));
}

fn path(file: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/doctor").join(file).display().to_string()
}
