//! R11: the product as it was, which registers a connection after it has accepted it and loses what comes in between.

use super::{CROWD, Lab, Via, column::table, variable};

/// So slow a registration that whoever sends at once comes before it, on a busy machine too.
const REGISTER_MS: &str = "500";

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_loses_messages_to_a_backend_that_registers_after_it_accepts_and_none_where_it_confirms() {
    let slow = Lab { register: "after".to_owned(), register_ms: REGISTER_MS.to_owned(), ..Lab::of_environment("late") };
    let lab = Lab { clients: variable("RACE_CLIENTS", CROWD), cold: "lose".to_owned(), ..slow };
    lab.expect_descriptors();
    let columns = [lab.run(Via::Readygate).await, lab.run(Via::Confirm).await];
    println!("{}", table(&lab.title(), &columns));
    assert!(columns[0].connected == lab.clients && columns[0].lost > 0, "{:#?}", columns[0]);
    columns[1].assert_whole(lab.manner.messages);
    lab.assert_books(&columns[1]);
}
