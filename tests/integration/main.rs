//! Tests on real files, real sockets and real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod cli;
mod close_codes;
mod confirm;
mod dependencies;
mod drain;
mod foreign_clients;
mod handshake;
mod harness;
mod hold;
mod http;
mod layout;
mod payloads;
mod prometheus;
mod race;
mod scenes;
