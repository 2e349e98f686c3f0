//! URLs of Redis, PostgreSQL and gRPC checks.

use secrecy::ExposeSecret;

use super::{assert_begins, config_with, problem_with};
use crate::config::{CheckKind, ClientTls, GrpcCheck, PostgresCheck, RedisCheck};

/// What the Redis ACL knows as a user and a password, both to be percent-encoded.
const BOTH: &str = "us%3Aer:p%40s%2Fs@";

fn kind(check: &str) -> CheckKind {
    config_with(&format!("[dependencies.it]\ncheck = {check}\n")).dependencies.remove(0).check.kind
}

fn redis(check: &str) -> RedisCheck {
    match kind(check) {
        CheckKind::Redis(redis) => redis,
        other => panic!("{other:?}"),
    }
}

fn postgres(url: &str) -> PostgresCheck {
    match kind(&format!("\"{url}\"")) {
        CheckKind::Postgres(postgres) => postgres,
        other => panic!("{other:?}"),
    }
}

fn grpc(url: &str) -> GrpcCheck {
    match kind(&format!("\"{url}\"")) {
        CheckKind::Grpc(grpc) => grpc,
        other => panic!("{other:?}"),
    }
}

/// The problem of a check that is this URL, which is not to be repeated.
fn problem(url: &str) -> String {
    let text = problem_with(&format!("[dependencies.it]\ncheck = \"{url}\"\n"));
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[test]
fn redis_has_a_user_a_password_and_a_database() {
    let check = redis(&format!("\"redis://{BOTH}10.0.0.3:7000/2\""));
    assert_eq!((check.target.host.as_str(), check.target.port, check.target.tls), ("10.0.0.3", 7000, None));
    assert_eq!((check.user.as_deref(), check.db, check.primary), (Some("us:er"), 2, false));
    assert_eq!(check.password.unwrap().expose_secret(), "p@s/s");
}

#[test]
fn redis_needs_no_more_than_a_host() {
    for url in ["\"rediss://h\"", "\"rediss://:@h/\"", "{ url = \"rediss://h/0\", role = \"any\" }"] {
        let check = redis(url);
        assert_eq!((check.target.port, check.target.tls), (6379, Some(ClientTls::default())));
        assert!(check.user.is_none() && check.password.is_none() && check.db == 0 && !check.primary);
    }
    assert_eq!(redis("\"redis://:a:b@h\"").password.unwrap().expose_secret(), "a:b");
}

#[test]
fn a_role_is_primary_or_any() {
    assert!(redis("{ url = \"redis://h\", role = \"primary\" }").primary);
    let text = problem_with("[dependencies.it]\ncheck = { url = \"redis://h\", role = \"replica\" }\n");
    assert_begins(&text, "dependencies.it.check.role: unknown variant `replica`; expected `primary` or `any`");
}

#[test]
fn what_is_wrong_with_a_redis_url_is_said_without_repeating_it() {
    assert_begins(
        &problem("redis://hunter2@h"),
        "this check has a user and no password; a password alone has a colon before it: :password@host",
    );
    assert_begins(&problem("redis://:hunter2@h/hunter2"), "this check has a database that is no number");
    assert_begins(&problem("redis://h/+1"), "this check has a database that is no number");
    assert_begins(&problem("redis://u:1/hunter2@h"), "this check has more in its path than one name");
    assert_begins(&problem("redis://:hunter2@h/0?db=hunter2"), "this check has a query (?…), which means nothing here");
    assert_begins(&problem("redis://:hunter2%@h"), "this check has a % without two hexadecimal digits after it");
    assert_begins(&problem("redis://:hunter2%ff@h"), "this check is no UTF-8 where it is percent-encoded");
    assert_begins(&problem("redis://:hunter2%00@h"), "this check holds a zero byte");
    assert_begins(&problem("redis://:hunter2@h/0#hunter2"), "the URL of a check has a fragment");
    let text = problem("redis://:hunter2/x@h");
    assert!(text.ends_with("in a user or password, write / ? # and % as %2F %3F %23 and %25"), "{text}");
}

#[test]
fn postgres_has_the_defaults_of_a_fresh_cluster() {
    for scheme in ["postgres", "postgresql"] {
        let check = postgres(&format!("{scheme}://h"));
        assert_eq!((check.target.port, check.user.as_str(), check.database.as_str()), (5432, "postgres", "postgres"));
        assert!(check.password.is_none() && check.prefer_tls && check.target.tls.is_some());
    }
    assert_eq!(postgres("postgres://app@h/").database, "app");
}

#[test]
fn postgres_has_a_user_a_password_and_a_database() {
    let check = postgres(&format!("postgres://{BOTH}h:1/my%2Fdb"));
    assert_eq!((check.user.as_str(), check.database.as_str(), check.target.port), ("us:er", "my/db", 1));
    assert_eq!(check.password.unwrap().expose_secret(), "p@s/s");
}

#[test]
fn sslmode_says_whether_postgres_is_asked_over_tls() {
    let of = |mode: &str| {
        let check = postgres(&format!("postgres://h/d?sslmode={mode}"));
        (check.target.tls.is_some(), check.prefer_tls)
    };
    assert_eq!(of("disable"), (false, false));
    assert_eq!(of("prefer"), (true, true));
    assert_eq!(of("require"), (true, false));
    assert_eq!(of("verify-full"), (true, false));
    for mode in ["allow", "verify-ca", "", "Require", "hunter2"] {
        let text = problem(&format!("postgres://h/d?sslmode={mode}"));
        assert_begins(&text, "this check has an sslmode that is not known; sslmode is disable, prefer");
    }
}

#[test]
fn a_ca_belongs_to_what_encrypts() {
    let ca =
        |url: &str| problem_with(&format!("[dependencies.it]\ncheck = {{ url = \"{url}\", ca = \"/nowhere\" }}\n"));
    for url in ["redis://h", "grpc://h", "postgres://h?sslmode=disable", "tcp://h:1"] {
        assert_begins(&ca(url), "ca has no effect without TLS");
    }
    for url in ["rediss://h", "grpcs://h", "postgres://h", "postgres://h?sslmode=require"] {
        assert_begins(&ca(url), "/nowhere cannot be read");
    }
}

#[test]
fn other_parameters_of_postgres_are_refused_and_told_where_they_belong() {
    let cases = [
        ("connect_timeout", "leave it out: timeout ="),
        ("sslrootcert", "leave it out: ca ="),
        ("password", "write user:password@host:5432/database after postgres://"),
        ("host", "write host:port after postgres://; a path to a socket is not supported"),
    ];
    for (name, help) in cases {
        let text = problem(&format!("postgres://h/d?sslmode=disable&{name}=hunter2"));
        assert_begins(&text, &format!("this check has the parameter \"{name}\"; {help}"));
    }
    assert_begins(&problem("postgres://h/d?hunter2=1"), "this check has a parameter other than sslmode");
}

#[test]
fn what_is_wrong_with_a_postgres_url_is_said_without_repeating_it() {
    for url in ["postgres://app:1/hunter2@h/db", "postgres://app:1/hunter2@h", "postgres://h/hunter2/x"] {
        assert_begins(&problem(url), "this check has more in its path than one name; the path is the database");
    }
    assert_begins(&problem("postgres://u:hunter2%2@h"), "this check has a % without two hexadecimal digits");
    assert_begins(&problem("postgres:///hunter2"), "this check has no host");
    assert_begins(&problem("postgres://a,b/hunter2"), "this check has a host that is no DNS name");
}

#[test]
fn grpc_asks_for_a_service_or_the_whole_server() {
    let check = grpc("grpc://10.0.0.9:50051/my.Service");
    assert_eq!((check.target.port, check.service.as_str(), check.target.tls), (50051, "my.Service", None));
    assert_eq!((grpc("grpc://h").target.port, grpc("grpc://h").service.as_str()), (80, ""));
    assert_eq!((grpc("grpcs://h/").target.port, grpc("grpcs://h/").target.tls), (443, Some(ClientTls::default())));
    assert_begins(&problem("grpc://h/a/b"), "this check has more in its path than one name; write grpc://host");
    assert_begins(&problem("grpc://h/a?b"), "this check has a query (?…), which means nothing here");
    assert_begins(&problem("grpc://u:hunter2@h"), "the URL of a check holds credentials; leave them out");
}

#[test]
fn no_secret_of_a_url_or_a_table_is_in_what_debug_prints() {
    let config = config_with(
        r#"[dependencies.a]
        check = "rediss://u:hunter2@h"
        [dependencies.b]
        check = "postgres://u:hunter2@h/d"
        [dependencies.c]
        check = { url = "https://h/x?token=hunter2", headers = { authorization = "hunter2" } }
        [dependencies.d]
        check = { url = "wss://h/x?token=hunter2", headers = { authorization = "hunter2" } }
        "#,
    );
    assert_eq!(config.dependencies.len(), 4);
    let shown = format!("{config:?}{config:#?}");
    assert!(shown.contains("REDACTED") && !shown.contains("hunter2"), "{shown}");
}
