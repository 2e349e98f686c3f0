//! Origins, subprotocols, close codes.

use super::{assert_begins, config_with, problem_with};
use crate::config::{Accept, AllowedOrigins};

fn origins(list: &str) -> AllowedOrigins {
    config_with(&format!("[gate]\nallowed_origins = {list}\n")).gate.allowed_origins
}

#[test]
fn origins_are_kept_as_browsers_send_them() {
    let listed = origins(r#"["same-host", "HTTPS://Example.COM:443", "http://[::1]:8080", "app://localhost"]"#);
    let expected = ["https://example.com", "http://[::1]:8080", "app://localhost"];
    assert_eq!(listed, AllowedOrigins::Listed { same_host: true, origins: expected.map(String::from).to_vec() });
}

#[test]
fn a_star_takes_all_and_an_empty_list_none() {
    assert_eq!(origins(r#"["*"]"#), AllowedOrigins::Any);
    assert_eq!(origins("[]"), AllowedOrigins::Listed { same_host: false, origins: Vec::new() });
}

#[test]
fn what_no_browser_sends_is_no_origin() {
    let bad =
        ["example.com", "https://", "https://a/", "https://a/b", "https://*.a.com", "https://u@a", "null", "://a", ""];
    for origin in bad {
        let text = problem_with(&format!("[gate]\nallowed_origins = [\"{origin}\"]\n"));
        assert!(text.contains("is no origin; write \"https://example.com\""), "{text}");
    }
}

#[test]
fn a_subprotocol_is_a_token_and_listed_once() {
    let config = config_with("[gate]\nsubprotocols = [\"graphql-ws\", \"v10.stomp\"]\naccept = \"early\"\n");
    assert_eq!((config.gate.subprotocols.len(), config.gate.accept), (2, Accept::Early));
    for bad in ["", "a b", "a,b", "a/b", "ä", "a;b"] {
        let text = problem_with(&format!("[gate]\nsubprotocols = [\"{bad}\"]\n"));
        assert_begins(&text, &format!("\"{bad}\" is no subprotocol; a token"));
    }
    assert_begins(&problem_with("[gate]\nsubprotocols = [\"a\", \"b\", \"a\"]\n"), "\"a\" is listed twice");
}

#[test]
fn close_codes_replace_the_default_as_a_whole() {
    let config = config_with("[gate]\nclose_codes = { \"429\" = 1013, \"599\" = 4999 }\n");
    assert_eq!(config.gate.close_codes, [(429, 1013), (599, 4999)]);
}

#[test]
fn a_code_that_may_not_be_on_the_wire_or_claims_success_is_refused() {
    for bad in [0, 999, 1000, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        let text = problem_with(&format!("[gate]\nclose_codes = {{ \"401\" = {bad} }}\n"));
        assert_begins(&text, &format!("{bad} is no close code for a refusal; expected 1001 to 1014"));
    }
}

#[test]
fn a_code_for_what_is_no_status_of_a_refusal_is_refused() {
    for bad in ["99", "600", "101", "4xx", "-1", "+401 "] {
        let text = problem_with(&format!("[gate]\nclose_codes = {{ \"{bad}\" = 3000 }}\n"));
        assert_begins(&text, &format!("\"{bad}\" is no HTTP status of a refusal; expected 100 to 599, but not 101"));
    }
}
