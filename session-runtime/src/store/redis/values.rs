//! The answers of scripts and commands, taken apart.

use redis::{FromRedisValue, Value};

use super::connection::unexpected;
use crate::{clock::Timestamp, error::StoreError, handle::SessionHandle};

pub(super) fn next<T: FromRedisValue>(values: &mut impl Iterator<Item = Value>) -> Result<T, StoreError> {
    values.next().and_then(|value| T::from_redis_value(value).ok()).ok_or_else(unexpected)
}

pub(super) fn only<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|_| unexpected())
}

pub(super) fn next_time(values: &mut impl Iterator<Item = Value>) -> Result<Timestamp, StoreError> {
    next(values).map(Timestamp::from_millis)
}

pub(super) fn handle(value: Value) -> Result<SessionHandle, StoreError> {
    let text = String::from_redis_value(value).map_err(|_| unexpected())?;
    text.parse().map_err(|_| unexpected())
}

pub(super) fn handles(values: impl Iterator<Item = Value>) -> Result<Vec<SessionHandle>, StoreError> {
    values.map(handle).collect()
}

/// The bytes of a string, or nothing where the answer is nothing.
pub(super) fn bytes(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        _ => Err(unexpected()),
    }
}
