//! What the request of a waiting client weighs. PURE.
//!
//! A client may send a head of `server.header_bytes`, and it is kept until the backend has it. Ten thousand of those would be
//! more than many a container has.

use std::sync::Arc;

use http::request;

use super::budget::{Budget, Lease};

/// A head of this size comes with the session's place; what goes beyond is taken of `hold.total_bytes`. With cookies and a
/// token a browser's head has one or two KiB, so that ordinary clients pay nothing, and ten thousand of them stay within 40 MiB.
const ORDINARY: usize = 4 << 10;

/// A place for one that waits with a head of so many bytes, if the budget has one and room for the head.
#[must_use]
pub fn place(budget: &Arc<Budget>, head: usize) -> Option<Lease> {
    budget.enter()?.with_luggage(head.saturating_sub(ORDINARY))
}

/// Bytes of what the head of `request` says.
#[must_use]
pub fn weight(request: &request::Parts) -> usize {
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    target + headers.sum::<usize>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_head_weighs_what_it_says() {
        let request = Request::get("/ws?a=1").header("cookie", "1234").header("cookie", "5").body(()).unwrap();
        assert_eq!(weight(&request.into_parts().0), "/ws?a=1".len() + 2 * "cookie".len() + 5);
    }

    #[test]
    fn a_request_waits_only_where_there_is_room_for_what_goes_beyond_an_ordinary_one() {
        let budget = Budget::new(10, 2);
        let heavy = place(&budget, ORDINARY + 10);
        assert_eq!((heavy.is_some(), budget.bytes()), (true, 10));
        assert!(place(&budget, ORDINARY + 1).is_none(), "a byte more than there is");
        assert!(place(&budget, ORDINARY).is_some());
        drop(heavy);
        assert_eq!((budget.bytes(), budget.sessions()), (0, 0));
    }
}
