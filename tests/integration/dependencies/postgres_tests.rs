//! What the PostgreSQL check says of a real server in every state that can be brought about.

use std::fs;

use readygate::{
    config::{CheckKind, PostgresCheck, Target},
    gate::Class,
};
use rustix::process::Signal;

use super::{
    ask, ask_briefly,
    certificates::{Certificates, distrusting},
    local,
    postgres::{Postgres, entrust, own},
    refusal, told,
};

const PASSWORD: &str = "planted-postgres-secret";

/// One role for each way to log in.
const ROLES: &str = "
    CREATE ROLE app LOGIN PASSWORD 'planted-postgres-secret';
    CREATE ROLE trusted LOGIN;
    CREATE ROLE rejected LOGIN;
    CREATE ROLE clear LOGIN PASSWORD 'planted-postgres-secret';
    SET password_encryption = md5;
    CREATE ROLE md5er LOGIN PASSWORD 'planted-postgres-secret';
";

fn at(target: Target) -> PostgresCheck {
    let (user, database) = ("app".to_owned(), "postgres".to_owned());
    PostgresCheck { target, prefer_tls: false, user, password: Some(PASSWORD.into()), database }
}

fn login(port: u16, user: &str) -> CheckKind {
    CheckKind::Postgres(PostgresCheck { user: user.to_owned(), ..at(local(port)) })
}

fn exchange(port: u16, user: &str) -> CheckKind {
    CheckKind::Postgres(PostgresCheck { user: user.to_owned(), password: None, ..at(local(port)) })
}

#[tokio::test]
async fn every_way_to_log_in_passes_and_adds_no_line_to_the_log() {
    let mut server = Postgres::start(&[]);
    server.sql(ROLES);
    for _ in 0..3 {
        for user in ["app", "md5er", "clear", "trusted"] {
            assert_eq!(ask(login(server.port, user)).await, Ok(()), "{user} with a password");
            assert_eq!(ask(exchange(server.port, user)).await, Ok(()), "{user} without one");
        }
        // As for pg_isready, a role that does not exist is asked for its password all the same.
        assert_eq!(ask(exchange(server.port, "nobody")).await, Ok(()));
    }
    assert_eq!(server.shut_down(), [""; 0]);
}

#[tokio::test]
async fn an_established_session_ends_with_terminate() {
    let mut server = Postgres::start(&["log_min_messages=debug1"]);
    server.sql(ROLES);
    assert_eq!(ask(login(server.port, "app")).await, Ok(()));
    assert_eq!(ask(exchange(server.port, "trusted")).await, Ok(()));
    let lines = server.shut_down();
    assert!(lines.iter().any(|line| line.contains("DEBUG:")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("unexpected EOF on client connection")), "{lines:?}");
}

#[tokio::test]
async fn a_line_in_the_log_would_be_seen() {
    let mut server = Postgres::start(&[]);
    server.sql(ROLES);
    refusal(login(server.port, "nobody")).await;
    let lines = server.shut_down();
    assert!(lines[0].contains("FATAL:  password authentication failed for user \"nobody\""), "{lines:?}");
}

#[tokio::test]
async fn what_a_role_may_not_do_is_told_apart() {
    let server = Postgres::start(&[]);
    server.sql(ROLES);
    let wrong = PostgresCheck { password: Some("planted-wrong-secret".into()), ..at(local(server.port)) };
    let reason = "28P01 password authentication failed for user \"app\"".to_owned();
    assert_eq!(told(CheckKind::Postgres(wrong)).await, (Class::Auth, reason, "check user and password in the URL"));
    for kind in [login(server.port, "rejected"), exchange(server.port, "rejected")] {
        let (class, reason, hint) = told(kind).await;
        assert_eq!((class, hint), (Class::Auth, "does the role exist, and does pg_hba.conf let it in from here?"));
        assert!(reason.starts_with("28000 pg_hba.conf rejects connection for host \"127.0.0.1\""), "{reason}");
    }
    let missing = PostgresCheck { database: "shop".to_owned(), ..at(local(server.port)) };
    let reason = "3D000 database \"shop\" does not exist".to_owned();
    let expected = (Class::Unexpected, reason, "is the database's name right?");
    assert_eq!(told(CheckKind::Postgres(missing)).await, expected);
}

#[tokio::test]
async fn a_role_without_the_right_to_connect_is_told_so() {
    let server = Postgres::start(&[]);
    server.sql(ROLES);
    server.sql("REVOKE CONNECT ON DATABASE postgres FROM public");
    let (class, reason, hint) = told(login(server.port, "app")).await;
    assert_eq!((class, hint), (Class::Auth, "grant the role CONNECT on the database"));
    assert_eq!(reason, "42501 permission denied for database \"postgres\"");
}

#[tokio::test]
async fn a_server_whose_connections_are_used_up_is_not_ready_until_one_is_free() {
    let server = Postgres::start(&["max_connections=3", "superuser_reserved_connections=0", "max_wal_senders=0"]);
    server.sql(ROLES);
    let mut holders: Vec<_> = (0..3).map(|_| server.hold("app")).collect();
    let hint = "too many connections: raise max_connections, or find who holds them";
    let used_up = (Class::NotReady, "53300 sorry, too many clients already".to_owned(), hint);
    for kind in [login(server.port, "app"), exchange(server.port, "app")] {
        assert_eq!(told(kind).await, used_up);
    }
    holders.pop();
    // The server frees the place when it comes to it, so this asks until it has.
    while ask(login(server.port, "app")).await.is_err() {}
}

#[tokio::test]
async fn a_standby_that_takes_no_connections_is_not_ready_until_it_is_promoted() {
    let standby = |data: &std::path::Path| {
        fs::write(data.join("standby.signal"), "").unwrap();
        own(&data.join("standby.signal"));
    };
    let server = Postgres::prepared(standby, &["hot_standby=off"], "entering standby mode");
    let port = server.port;
    for kind in [login(port, "app"), exchange(port, "app")] {
        let (class, reason, _) = told(kind).await;
        assert_eq!(class, Class::NotReady, "{reason}");
        assert!(reason.starts_with("57P03 the database system is "), "{reason}");
    }
    server.promote();
    assert_eq!(ask(exchange(port, "app")).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_shuts_down_is_not_ready() {
    let server = Postgres::start(&[]);
    server.sql(ROLES);
    let _last = server.hold("app");
    server.signal(Signal::TERM);
    server.log().line("received smart shutdown request");
    let reason = "57P03 the database system is shutting down".to_owned();
    assert_eq!(told(login(server.port, "app")).await, (Class::NotReady, reason, ""));
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_wanted_and_leaves_no_line_either() {
    let files = Certificates::new();
    let access =
        "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 reject\n";
    let prepare = |data: &std::path::Path| {
        fs::write(data.join("pg_hba.conf"), access).unwrap();
        entrust(&files.certificate(), &data.join("server.crt"));
        entrust(&files.key(), &data.join("server.key"));
    };
    let mut server = Postgres::prepared(prepare, &["ssl=on"], "ready to accept connections");
    server.sql(ROLES);
    let secure = at(files.target(server.port));
    assert_eq!(ask(CheckKind::Postgres(secure.clone())).await, Ok(()));
    assert_eq!(ask(CheckKind::Postgres(PostgresCheck { prefer_tls: true, ..secure.clone() })).await, Ok(()));
    assert_eq!(ask(CheckKind::Postgres(PostgresCheck { password: None, ..secure })).await, Ok(()));
    assert_eq!(server.shut_down(), [""; 0]);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_and_a_server_without_tls_are_told_apart() {
    let files = Certificates::new();
    let prepare = |data: &std::path::Path| {
        entrust(&files.certificate(), &data.join("server.crt"));
        entrust(&files.key(), &data.join("server.key"));
    };
    let secure = Postgres::prepared(prepare, &["ssl=on"], "ready to accept connections");
    let (class, _, hint) = told(CheckKind::Postgres(at(distrusting(secure.port)))).await;
    assert_eq!((class, hint), (Class::Tls, "name the private CA with `ca = \"file.pem\"`"));
    let mut plain = Postgres::start(&[]);
    plain.sql(ROLES);
    let required = at(files.target(plain.port));
    let hint = "turn ssl on in the server, or put sslmode=disable into the URL";
    let expected = (Class::Tls, "the server speaks no TLS".to_owned(), hint);
    assert_eq!(told(CheckKind::Postgres(required.clone())).await, expected);
    assert_eq!(ask(CheckKind::Postgres(PostgresCheck { prefer_tls: true, ..required })).await, Ok(()));
    assert_eq!(plain.shut_down(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_hangs_times_out_one_that_died_is_refused_and_one_that_returned_passes() {
    let mut server = Postgres::start(&[]);
    server.sql(ROLES);
    assert_eq!(ask(login(server.port, "app")).await, Ok(()));
    server.signal(Signal::STOP);
    let failure = ask_briefly(login(server.port, "app")).await;
    assert_eq!((failure.class, failure.reason.as_str()), (Class::Timeout, "no answer within 200ms"));
    server.signal(Signal::CONT);
    assert_eq!(ask(login(server.port, "app")).await, Ok(()));
    server.kill();
    let (class, reason, _) = told(login(server.port, "app")).await;
    assert_eq!((class, reason), (Class::Refused, format!("connection to 127.0.0.1:{} refused", server.port)));
    server.restart();
    assert_eq!(ask(login(server.port, "app")).await, Ok(()));
}

#[tokio::test]
async fn no_failure_of_a_postgres_shows_a_secret() {
    let server = Postgres::start(&[]);
    server.sql(ROLES);
    for user in ["app", "md5er", "clear", "nobody", "rejected"] {
        let wrong = PostgresCheck {
            user: user.to_owned(),
            password: Some("planted-wrong-secret".into()),
            ..at(local(server.port))
        };
        let shown = format!("{wrong:?} {:?}", refusal(CheckKind::Postgres(wrong.clone())).await);
        assert!(!shown.contains("planted"), "{shown}");
    }
}
