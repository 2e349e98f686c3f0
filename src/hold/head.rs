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

/// A place for one that waits with `request`, if the budget has one and room for the request.
#[must_use]
pub fn place(budget: &Arc<Budget>, request: &request::Parts) -> Option<Lease> {
    budget.enter()?.with_luggage(surplus(request))
}

/// Bytes by which the head of `request` goes beyond an ordinary one.
fn surplus(request: &request::Parts) -> usize {
    let uri = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    (uri + headers.sum::<usize>()).saturating_sub(ORDINARY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::Request;

    fn with(path: usize, value: usize) -> request::Parts {
        let uri = format!("/{}", "p".repeat(path - 1));
        Request::get(uri).header("cookie", "c".repeat(value)).body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_what_goes_beyond_an_ordinary_head_weighs() {
        let room = ORDINARY - "cookie".len();
        assert_eq!(surplus(&with(100, room - 100)), 0);
        assert_eq!(surplus(&with(101, room - 100)), 1);
        assert_eq!(surplus(&with(100, room - 93)), 7);
    }

    #[test]
    fn a_request_waits_only_where_there_is_room_for_it() {
        let budget = Budget::new(10, 2);
        let room = ORDINARY - "cookie".len();
        let heavy = place(&budget, &with(100, room - 90));
        assert_eq!((heavy.is_some(), budget.bytes()), (true, 10));
        assert!(place(&budget, &with(100, room - 99)).is_none(), "a byte more than there is");
        assert!(place(&budget, &with(100, 0)).is_some());
        drop(heavy);
        assert_eq!((budget.bytes(), budget.sessions()), (0, 0));
    }
}
