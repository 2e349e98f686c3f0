//! What the URLs of Redis, PostgreSQL and gRPC checks say beyond host and port.
//!
//! No message repeats a part of such a URL: where a password is not percent-encoded, any part may be a piece of it.

use secrecy::SecretString;

use super::{Checker, location::Security};
use crate::config::{
    GrpcCheck, PostgresCheck, RedisCheck, Target,
    key_path::KeyPath,
    url::{Url, percent_decoded},
};

/// Role where none is named; also the name of the database that every PostgreSQL cluster begins with.
const POSTGRES_USER: &str = "postgres";
/// How `sslmode` is written.
const SSLMODE_FORM: &str = "sslmode is disable, prefer (the default), require or verify-full";
/// Where the parts of a URL go. Written so that the mask of user information leaves it whole.
const FORM: &str = "write user:password@host:5432/database after postgres://";
/// What libpq would be told in the URL, and where it is told here.
const ELSEWHERE: [(&str, &str); 7] = [
    ("connect_timeout", r#"leave it out: timeout = "2s" in the check's table is for the whole attempt"#),
    ("sslrootcert", r#"leave it out: ca = "file.pem" in the check's table names a private CA"#),
    ("user", FORM),
    ("password", FORM),
    ("host", "write host:port after postgres://; a path to a socket is not supported"),
    ("port", FORM),
    ("dbname", FORM),
];

/// What stands before the `@`, decoded.
#[derive(Default)]
struct Credentials {
    user: Option<String>,
    password: Option<SecretString>,
}

impl Credentials {
    /// An empty part is as good as none: it is what a variable that was left empty makes of a URL.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let part = |text| percent_decoded(text).map(|part| Some(part).filter(|part| !part.is_empty()));
        Ok(Self { user: part(user)?, password: part(password)?.map(SecretString::from) })
    }
}

impl Checker<'_, '_> {
    pub(super) fn redis(&mut self, path: &KeyPath, url: &Url<'_>, target: Target) -> Option<RedisCheck> {
        let credentials = self.credentials(path, url);
        if credentials.as_ref().is_some_and(|both| both.user.is_some() && both.password.is_none()) {
            let help = "a password alone has a colon before it: :password@host";
            self.push(path.clone(), "this check has a user and no password", help);
        }
        let db = self.or_push(
            path,
            database_number(url.path),
            "the path is the number of the database, as in /0; a / in a password is %2F",
        );
        let Credentials { user, password } = credentials?;
        Some(RedisCheck { target, user, password, db: db?, primary: false })
    }

    pub(super) fn postgres(
        &mut self,
        path: &KeyPath,
        url: &Url<'_>,
        target: Target,
        prefer_tls: bool,
    ) -> Option<PostgresCheck> {
        let credentials = self.credentials(path, url);
        let help = "the path is the database, in which / is %2F and @ is %40; so they are in a password";
        let database = self.or_push(path, segment(before_query(url.path)), help);
        let Credentials { user, password } = credentials?;
        let user = user.unwrap_or_else(|| POSTGRES_USER.to_owned());
        let database = Some(database?).filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
        Some(PostgresCheck { target, prefer_tls, user, password, database })
    }

    /// `?sslmode=…`, the only parameter there is.
    pub(super) fn sslmode(&mut self, path: &KeyPath, url: &Url<'_>) -> Option<Security> {
        let mut security = Security::Preferred;
        let query = url.path.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            security = match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("sslmode", mode) => self.or_push(path, security_of(mode), SSLMODE_FORM)?,
                (other, _) => {
                    let known = ELSEWHERE.iter().find(|(name, _)| *name == other);
                    let (what, help) = match known {
                        Some((name, help)) => (format!("this check has the parameter {name:?}"), *help),
                        None => ("this check has a parameter other than sslmode".to_owned(), SSLMODE_FORM),
                    };
                    self.push(path.clone(), what, help);
                    return None;
                }
            };
        }
        Some(security)
    }

    pub(super) fn grpc(&mut self, path: &KeyPath, url: &Url<'_>, target: Target) -> Option<GrpcCheck> {
        let help = "write grpc://host:port/package.Service, or no path to ask for the whole server";
        let service = self.or_push(path, without_query(url.path).and_then(segment), help)?;
        Some(GrpcCheck { target, service })
    }

    fn credentials(&mut self, path: &KeyPath, url: &Url<'_>) -> Option<Credentials> {
        let parsed = url.credentials.map_or(Ok(Credentials::default()), Credentials::parse);
        self.or_push(path, parsed, "this is about its user or password")
    }
}

fn security_of(sslmode: &str) -> Result<Security, &'static str> {
    match sslmode {
        "disable" => Ok(Security::Plain),
        "prefer" => Ok(Security::Preferred),
        "require" | "verify-full" => Ok(Security::Tls),
        _ => Err("has an sslmode that is not known"),
    }
}

fn before_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

fn without_query(path: &str) -> Result<&str, &'static str> {
    if path.contains('?') { Err("has a query (?…), which means nothing here") } else { Ok(path) }
}

/// The one segment of a path, decoded; empty where there is none. A `@` here is the rest of a password with a `/`.
fn segment(path: &str) -> Result<String, &'static str> {
    let segment = path.strip_prefix('/').unwrap_or(path);
    match segment.contains(['/', '@']) {
        true => Err("has more in its path than one name"),
        false => percent_decoded(segment),
    }
}

fn database_number(path: &str) -> Result<i64, &'static str> {
    let segment = segment(without_query(path)?)?;
    match segment.parse::<u32>() {
        Ok(number) if !segment.starts_with('+') => Ok(number.into()),
        Err(_) if segment.is_empty() => Ok(0),
        Ok(_) | Err(_) => Err("has a database that is no number"),
    }
}
