//! The two listeners.

use super::{MINIMAL, assert_begins, config_with, only, problem_with, problems_in};
use crate::config::Environment;

#[test]
fn addresses_of_both_families_are_read() {
    let config = config_with("[server]\nlisten = \"[::]:80\"\n[admin]\nlisten = \"0.0.0.0:81\"\n");
    assert_eq!((config.server.listen.to_string(), config.admin.listen.port()), ("[::]:80".into(), 81));
}

#[test]
fn a_name_or_a_missing_port_is_no_address() {
    for bad in ["localhost:8080", ":8080", "8080", "0.0.0.0", "0.0.0.0:http", ""] {
        let text = problem_with(&format!("[server]\nlisten = \"{bad}\"\n"));
        assert_begins(&text, &format!("server.listen = \"{bad}\" is no IP address with a port"));
    }
    assert_begins(&problem_with("[admin]\nlisten = \"x\"\n"), "admin.listen = \"x\" is no IP address with a port");
}

#[test]
fn the_two_listeners_may_not_share_a_port() {
    for (server, admin) in [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "[::]")] {
        let text = problem_with(&format!("[server]\nlisten = \"{server}:80\"\n[admin]\nlisten = \"{admin}:80\"\n"));
        assert_begins(&text, &format!("admin.listen {admin}:80 takes the port of server.listen {server}:80"));
    }
}

#[test]
fn a_port_that_the_platform_chose_may_not_be_that_of_the_admin_listener_either() {
    let found = only(problems_in(MINIMAL, &Environment::with_variables([("PORT", "9090")])));
    assert_begins(&found, "admin.listen 127.0.0.1:9090 takes the port of server.listen 0.0.0.0:9090");
}

#[test]
fn different_addresses_or_ports_of_the_kernels_choice_do_not_clash() {
    config_with("[server]\nlisten = \"127.0.0.1:80\"\n[admin]\nlisten = \"127.0.0.2:80\"\n");
    config_with("[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n");
}

#[test]
fn workers_are_one_per_cpu_unless_said_otherwise() {
    let mut environment = Environment::with_variables([]);
    environment.cpus = 6.try_into().unwrap();
    let config = crate::config::Config::parse(MINIMAL, "f", &environment).unwrap();
    assert_eq!(config.server.workers.get(), 6);
    assert_eq!(config_with("[server]\nworkers = 3\n").server.workers.get(), 3);
    assert_begins(
        &problem_with("[server]\nworkers = 1025\n"),
        "server.workers = 1025 is out of range; expected 0 to 1024",
    );
}

#[test]
fn a_head_is_limited_to_what_hyper_can_do_and_no_flood_needs() {
    assert_eq!(config_with("[server]\nheader_bytes = \"8KiB\"\n").server.header_bytes, 8192);
    for bad in ["8191B", "0B", "1025KiB"] {
        let text = problem_with(&format!("[server]\nheader_bytes = \"{bad}\"\n"));
        assert_begins(&text, &format!("server.header_bytes = \"{bad}\" is out of range; expected 8KiB to 1MiB"));
    }
}
