//! Tests on real files, real sockets and real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod cli;
mod close_codes;
mod confirm;
mod degraded;
mod dependencies;
mod deploy;
mod descriptors;
mod doctor;
mod drain;
mod foreign_clients;
mod hand;
mod handshake;
mod harness;
mod hold;
mod http;
mod layout;
mod modes;
mod notices;
mod page;
mod payloads;
mod probe;
mod prometheus;
mod race;
mod reload;
mod scenes;
mod soak;
