use super::*;

/// A ready backend, and one client that is connected and sent its three messages.
fn books() -> Books {
    let mut books = Books::new(1, 3);
    books.connected(0, Duration::from_millis(1));
    (0..3).for_each(|_| books.sent(0));
    books.enter(Phase::Ready, Instant::now());
    books
}

/// All of `numbers` reach the backend and are answered.
fn exchange(books: &mut Books, numbers: &[usize]) {
    for number in numbers {
        assert!(books.arrived(&write(0, *number)));
        books.answered(0, &write(0, *number), Instant::now());
    }
}

#[test]
fn everything_once_and_in_order_is_clean_and_settled() {
    let mut books = books();
    exchange(&mut books, &[0, 1, 2]);
    assert!(books.is_settled() && books.ledger().is_clean(), "{books:?}");
}

#[test]
fn a_message_that_never_arrives_is_lost_and_keeps_the_books_open() {
    let mut books = books();
    exchange(&mut books, &[0, 2]);
    let ledger = books.ledger();
    assert_eq!((ledger.lost(), ledger.delivered, ledger.out_of_order), (1, 2, 0));
    assert!(!ledger.is_clean() && !books.is_settled());
}

#[test]
fn a_message_that_comes_before_the_backend_is_ready_is_dropped_lost_and_not_answered() {
    let mut books = books();
    books.enter(Phase::Listening, Instant::now());
    assert!(!books.arrived(&write(0, 0)));
    books.enter(Phase::Ready, Instant::now());
    exchange(&mut books, &[1, 2]);
    let ledger = books.ledger();
    assert_eq!((ledger.dropped, ledger.lost(), ledger.answered), (1, 1, 2));
    assert!(!ledger.is_clean());
    assert!(books.is_settled(), "what is dropped is accounted for");
}

#[test]
fn a_doubled_message_counts_twice_in_no_other_number() {
    let mut books = books();
    exchange(&mut books, &[0, 1, 2]);
    books.arrived(&write(0, 1));
    let ledger = books.ledger();
    assert_eq!((ledger.doubled, ledger.delivered, ledger.out_of_order), (1, 3, 0));
    assert!(!ledger.is_clean());
}

#[test]
fn a_message_after_a_later_one_is_out_of_order() {
    let mut books = books();
    [0, 2, 1].into_iter().for_each(|number| assert!(books.arrived(&write(0, number))));
    [0, 1, 2].into_iter().for_each(|number| books.answered(0, &write(0, number), Instant::now()));
    let ledger = books.ledger();
    assert_eq!((ledger.out_of_order, ledger.lost()), (1, 0));
    assert!(!ledger.is_clean());
}

#[test]
fn an_answer_that_is_missing_spoils_a_clean_ledger() {
    let mut books = books();
    (0..3).for_each(|number| assert!(books.arrived(&write(0, number))));
    (0..2).for_each(|number| books.answered(0, &write(0, number), Instant::now()));
    assert!(!books.ledger().is_clean() && !books.is_settled());
}

#[test]
fn texts_that_nobody_sent_are_counted_as_changed() {
    let mut books = books();
    for text in ["0:3", "1:0", "0", "x:0", ""] {
        assert!(!books.arrived(text), "{text}");
    }
    books.answered(0, "1:0", Instant::now());
    assert_eq!(books.ledger().changed, 6);
}

#[test]
fn a_refused_client_sends_nothing_and_is_neither_connected_nor_clean() {
    let mut books = Books::new(2, 3);
    (0..2).for_each(|client| books.stage(client, Stage::Refused));
    books.enter(Phase::Ready, Instant::now());
    let ledger = books.ledger();
    assert_eq!((ledger.refused, ledger.connected, ledger.unsent(), ledger.lost()), (2, 0, 6, 0));
    assert!(books.is_settled() && !ledger.is_clean());
}

#[test]
fn nothing_is_settled_before_the_backend_is_ready() {
    let mut books = Books::new(1, 1);
    books.stage(0, Stage::Refused);
    assert!(!books.is_settled());
}

#[test]
fn the_first_answer_is_told_from_the_moment_the_backend_was_ready() {
    let (mut books, ready) = (Books::new(1, 2), Instant::now());
    books.enter(Phase::Ready, ready);
    books.answered(0, &write(0, 0), ready + Duration::from_millis(7));
    books.answered(0, &write(0, 1), ready + Duration::from_millis(9));
    assert_eq!(books.ledger().first_answer, Some(Duration::from_millis(7)));
}

#[test]
fn percentiles_are_the_nearest_ranks() {
    let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
    let of = |count: usize, percent| percentile(&times[..count], percent).map(|time| time.as_millis());
    assert_eq!((of(20, 50), of(20, 95), of(1, 95), of(0, 50)), (Some(10), Some(19), Some(1), None));
}
