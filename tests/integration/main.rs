//! Tests on real files, real sockets and real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod cli;
mod close_codes;
mod cloud_logging;
mod confirm;
mod conformance;
mod degraded;
mod dependencies;
mod deploy;
mod descriptors;
mod doctor;
mod drain;
mod floods;
mod foreign_clients;
mod hand;
mod handshake;
mod harness;
mod hold;
mod hostile;
mod http;
mod layout;
mod modes;
mod notices;
mod page;
mod payloads;
mod probe;
mod prometheus;
mod race;
mod readme;
mod rehearsal;
mod reload;
mod scenes;
mod soak;
