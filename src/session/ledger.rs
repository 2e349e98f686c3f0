//! What became of the data frames that a client sent before its session was open. PURE.

/// Counted at three places of their own: where frames are taken, where the upstream takes them, and where they are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Taken from the client.
    pub received: u64,
    /// Taken by the upstream.
    pub delivered: u64,
    /// Left over when the session ended; the client was told by a Close, or is gone.
    pub refused: u64,
}

impl Ledger {
    /// There is no third column.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.received == self.delivered + self.refused
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_in_no_column_or_in_two_is_an_imbalance() {
        assert!(Ledger { received: 5, delivered: 3, refused: 2 }.is_balanced());
        assert!(!Ledger { received: 5, delivered: 3, refused: 1 }.is_balanced());
        assert!(!Ledger { received: 5, delivered: 5, refused: 1 }.is_balanced());
    }
}
