//! Commands other than running.

pub mod check;
pub mod demo;
pub mod live;
pub mod schema;
