//! What the services that are asked must not do to those who ask them; each kind's target stands beside it.

pub(crate) use super::{
    grpc::fuzz::answers as grpc, http::fuzz::answers as http, postgres::fuzz::answers as postgres,
    redis::fuzz::answers as redis, ws::fuzz::answers as ws,
};

use crate::gate::{Class, Failure};

/// What is no head and what is none yet are one to the parsers once they come in pieces.
pub(super) fn told_apart(outcome: &Result<(), Failure>) -> Result<(), Option<Class>> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Failure { class: Class::Protocol | Class::Refused, .. }) => Err(None),
        Err(Failure { class, .. }) => Err(Some(*class)),
    }
}
