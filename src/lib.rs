//! A sidecar reverse proxy that gates WebSocket readiness.
//!
//! Bytes move one way through a row of modules, and imports point only the way the bytes move. In the order in
//! which bytes meet them:
//!
//! - [`listen`] takes connections, plain or TLS;
//! - [`http`] reads one connection's requests, tells WebSockets from the rest, and proxies the rest;
//! - [`session`] leads one client WebSocket from arrival to outcome;
//! - [`hold`] keeps what the client sends meanwhile, within bounds;
//! - [`upstream`] dials the backend and verifies its handshake;
//! - [`splice`] joins the two streams once both are ready;
//! - [`probe`] asks the backend whether it is ready, and reports to
//! - [`gate`], the one value that says whether sessions may pass;
//! - [`drain`] ends all of it on one deadline;
//! - [`dial`] opens TCP and TLS connections for whoever needs one;
//! - [`descriptors`] shares out the open files that all of this takes;
//! - [`stall`] keeps a stopped process from taking its own sleep for somebody's silence;
//! - [`wire`] knows RFC 6455 frames and nothing else;
//! - [`telemetry`] writes logs and counts;
//! - [`fields`] reads the fields of a head, whoever keeps them;
//! - [`config`] is what the operator asked for.
//!
//! Above the row stand [`app`], which builds the parts and stops them in order, [`reload`], which looks after the
//! configuration's file, [`admin`], the private port, and [`cli`], the commands. Only for tests there is
//! [`fuzz`](#fuzz), which throws bytes at whatever reads those of strangers.

pub mod app;
pub mod cli;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub mod admin;
pub mod listen;
pub mod reload;

pub mod http;

pub mod session;

pub mod hold;
pub mod probe;
pub mod splice;
pub mod upstream;

pub mod descriptors;
pub mod dial;
pub mod drain;
pub mod gate;

pub mod stall;
pub mod telemetry;
pub mod wire;

pub mod config;
pub mod fields;
