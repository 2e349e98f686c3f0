//! Commands other than running.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod live;
pub mod probe;
pub mod schema;
