//! What the services that are asked must not do to those who ask them; each kind's target stands beside it.

pub(crate) use super::{
    grpc::fuzz::answers as grpc, http::fuzz::answers as http, postgres::fuzz::answers as postgres,
    redis::fuzz::answers as redis, ws::fuzz::answers as ws,
};
