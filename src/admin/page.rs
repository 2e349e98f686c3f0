//! `GET /`: the status for people. One page that needs nothing but `/events`, `/status` and `/sessions` of this port.
//!
//! Client paths and failure texts come from outside, so the script only ever writes text, and the policy lets no other
//! script run: exactly the style and the script that are compiled in, known by their hashes.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use sha2::{Digest, Sha256};

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Where the style goes.
const STYLE_PLACE: &str = "<style></style>";
/// Where the script goes.
const SCRIPT_PLACE: &str = "<script></script>";

/// The whole page. Built once: some 30 KiB, the first time that somebody looks.
static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let style = format!("<style>{STYLE}</style>");
    FRAME.replacen(STYLE_PLACE, &style, 1).replacen(SCRIPT_PLACE, &format!("<script>{SCRIPT}</script>"), 1).into()
});

/// What the page may do: run itself, and ask this port.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Hashes are letters, digits and signs that a header may hold.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Fixed headers: nobody may frame the page, guess its type, keep it, or learn its address from a link.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The page; it is the same at all times, what it shows comes later.
pub(super) fn answer() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(PAGE.clone()));
    let fixed = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    answer.headers_mut().extend(HeaderMap::from_iter(fixed));
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    answer
}

/// As a policy names an inline style or script (<https://www.w3.org/TR/CSP3/#grammardef-hash-source>).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_style_and_the_script_stand_in_the_page_as_they_were_hashed() {
        let page = std::str::from_utf8(&PAGE).unwrap();
        assert!(
            page.contains(&format!("<style>{STYLE}</style>")) && page.contains(&format!("<script>{SCRIPT}</script>"))
        );
        assert_eq!((page.matches("<style>").count(), page.matches("<script>").count()), (1, 1));
    }

    #[test]
    fn a_hash_is_the_base64_of_the_sha_256() {
        // printf abc | openssl dgst -sha256 -binary | base64
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn the_page_names_no_other_place() {
        let page = std::str::from_utf8(&PAGE).unwrap();
        for foreign in ["http:", "https:", "src=\"/", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "eval("] {
            let found = page.replace("http://www.w3.org/2000/svg", "").find(foreign);
            assert_eq!(found, None, "{foreign}");
        }
    }
}
