//! Rows and revocations as strings of bytes.
//!
//! The scripts read and replace parts of a row, so those stand at fixed places, in big-endian order; the numbers below are
//! Lua's, which counts from 1. Times and durations are whole milliseconds; [`NEVER`], the largest whole number that Lua can
//! tell from its neighbours, stands for "never".
//!
//! | from | bytes | |
//! |---|---|---|
//! | 1 | 1 | what it is: 1 for a row, 0 for a [marker](encode_marker) |
//! | 2 | 1 | whether the session is persistent |
//! | 3 | 5 × 8 | created, authenticated, idle expiry, absolute expiry, rotated |
//! | 43 | 8 | used, plus 1; 0 if not |
//! | 51 | 3 × 4 | generation, parent, grandparent |
//! | 63 | 4, 16, 1 + 16 | bound since, or 0; nonce; parent's nonce, if any |
//! | 100 | 16 | fingerprint |
//! | 116 | 8, 1, 16, 1 + 16 | ended, plus 1, or 0; how; issued to; reused by, if known |
//! | 158 | 8 | idle lifetime |
//! | 166 | 1 + 16 | the session that it replaces, if any |
//! | 183 | 16 | handle |
//! | 199 | 32 | salt |
//! | 231 | 4 + n | user |
//! | … | | version; tenant, address, user agent, claims, data, each if any |

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::{Binding, Chain, NonceHash, TheftKind},
    store::{EndReason, Ended, Fingerprint, Origin, Revocation, Row, Salt},
};

/// Stands for [`Timestamp::MAX`].
pub(super) const NEVER: u64 = (1 << 53) - 1;

/// Where the times are that a script sets when it inserts a row.
const TIMES: std::ops::Range<usize> = 2..42;

/// What a rotation replaces.
const TURNED: std::ops::Range<usize> = 18..115;

/// What Redis holds is not what this library writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis holds something else where the sessions should be: {what}")]
pub(super) struct Undecodable {
    pub(super) what: &'static str,
}

pub(super) fn encode_row(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(320);
    bytes.extend([1, u8::from(row.persistent)]);
    let times = [
        row.created_at,
        row.authenticated_at,
        row.idle_expires_at,
        row.absolute_expires_at,
        row.chain.rotated_at,
    ];
    times.into_iter().for_each(|time| put_time(&mut bytes, time));
    put_chain(&mut bytes, &row.chain);
    bytes.extend(row.fingerprint.0);
    put_end(&mut bytes, row.ended.as_deref());
    put_time(&mut bytes, Timestamp::from_millis(row.idle_lifetime_ms));
    put_array(&mut bytes, row.replaces.as_deref().map(SessionHandle::as_bytes));
    bytes.extend(row.handle.as_bytes());
    bytes.extend(row.salt.0);
    put_text(&mut bytes, &row.user);
    bytes.extend(row.version.to_be_bytes());
    let origin = row.origin.as_deref();
    let address = origin.and_then(|origin| origin.address).map(|address| address.to_string());
    let user_agent = origin.and_then(|origin| origin.user_agent.as_deref());
    let texts =
        [row.tenant.as_deref(), address.as_deref(), user_agent, row.claims.as_deref(), row.data.as_deref()];
    for text in texts {
        bytes.push(u8::from(text.is_some()));
        text.into_iter().for_each(|text| put_text(&mut bytes, text));
    }
    bytes
}

/// What stands before and after the times of a row that a script is to insert.
pub(super) fn around_times(encoded: &[u8]) -> (&[u8], &[u8]) {
    (&encoded[..TIMES.start], &encoded[TIMES.end..])
}

/// The row that was rotated, as it is afterwards.
pub(super) fn with_turned(row: &[u8], turned: &[u8]) -> Result<Vec<u8>, Undecodable> {
    match (row.get(..TURNED.start), row.get(TURNED.end..)) {
        (Some(before), Some(after)) if turned.len() == TURNED.len() => Ok([before, turned, after].concat()),
        _ => Err(Undecodable { what: "what is no rotation" }),
    }
}

/// The row; `None` where it is a marker.
pub(super) fn decode_row(bytes: &[u8]) -> Result<Option<Row>, Undecodable> {
    let mut reader = Reader(bytes);
    match reader.byte()? {
        0 => return Ok(None),
        1 => {}
        _ => return Err(Undecodable { what: "a row of another version" }),
    }
    let persistent = reader.flag()?;
    let (created_at, authenticated_at) = (reader.time()?, reader.time()?);
    let (idle_expires_at, absolute_expires_at) = (reader.time()?, reader.time()?);
    let chain = reader.chain()?;
    let fingerprint = Fingerprint(reader.array()?);
    let ended = reader.end()?.map(Box::new);
    let idle_lifetime_ms = reader.time()?.as_millis();
    let replaces = reader.optional_array()?.map(SessionHandle::from_bytes).map(Box::new);
    let handle = SessionHandle::from_bytes(reader.array()?);
    let salt = Salt(reader.array()?);
    let user = Arc::from(reader.text()?);
    let version = reader.number()?;
    let tenant = reader.optional_text()?.map(Arc::from);
    let address = reader.optional_text()?.map(str::parse).transpose();
    let address = address.map_err(|_| Undecodable { what: "an address" })?;
    let user_agent = reader.optional_text()?.map(Box::from);
    let is_known = address.is_some() || user_agent.is_some();
    let origin = is_known.then(|| Box::new(Origin { address, user_agent }));
    let claims = reader.optional_text()?.map(Box::from);
    let data = reader.optional_text()?.map(Box::from);
    Ok(Some(Row {
        handle,
        user,
        tenant,
        created_at,
        authenticated_at,
        idle_expires_at,
        absolute_expires_at,
        idle_lifetime_ms,
        chain,
        salt,
        fingerprint,
        version,
        persistent,
        origin,
        replaces,
        claims,
        data,
        ended,
    }))
}

/// What stands in a row's place where the session was ended before the row came: it ends when it comes.
pub(super) fn encode_marker(ended: &Ended) -> Vec<u8> {
    let mut bytes = vec![0];
    put_end(&mut bytes, Some(ended));
    bytes
}

/// An end as it stands in a row.
pub(super) fn encode_end(ended: &Ended) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(42);
    put_end(&mut bytes, Some(ended));
    bytes
}

pub(super) fn decode_end(bytes: &[u8]) -> Result<Ended, Undecodable> {
    Reader(bytes).end()?.ok_or(Undecodable { what: "an end" })
}

/// The end of a session, for the feed, as the scripts write it too.
pub(super) fn encode_told(row: &Row) -> Vec<u8> {
    let mut bytes = vec![0];
    put_end(&mut bytes, row.ended.as_deref());
    bytes.extend(row.handle.as_bytes());
    bytes.extend(row.user.as_bytes());
    bytes
}

/// The end of all sessions of a user, for the feed.
pub(super) fn encode_mark(user: &str, made_by: Timestamp) -> Vec<u8> {
    let mut bytes = vec![1];
    put_time(&mut bytes, made_by);
    bytes.extend(user.as_bytes());
    bytes
}

pub(super) fn decode_revocation(bytes: &[u8]) -> Result<Revocation, Undecodable> {
    let mut reader = Reader(bytes);
    if reader.flag()? {
        let made_by = reader.time()?;
        return Ok(Revocation::User { user: reader.rest()?.into(), made_by });
    }
    let ended = reader.end()?.ok_or(Undecodable { what: "a revocation" })?;
    let handle = SessionHandle::from_bytes(reader.array()?);
    Ok(Revocation::Session { handle, user: reader.rest()?.into(), ended })
}

/// A duration as a script's argument.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER).min(NEVER)
}

fn put_time(bytes: &mut Vec<u8>, time: Timestamp) {
    bytes.extend(time.as_millis().min(NEVER).to_be_bytes());
}

fn put_optional_time(bytes: &mut Vec<u8>, time: Option<Timestamp>) {
    let plus_one = |time: Timestamp| time.as_millis().min(NEVER - 1) + 1;
    bytes.extend(time.map_or(0, plus_one).to_be_bytes());
}

fn put_array<const N: usize>(bytes: &mut Vec<u8>, array: Option<&[u8; N]>) {
    bytes.push(u8::from(array.is_some()));
    bytes.extend(array.unwrap_or(&[0; N]));
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_chain(bytes: &mut Vec<u8>, chain: &Chain) {
    put_optional_time(bytes, chain.used_at);
    for generation in [chain.generation, chain.parent, chain.grandparent] {
        bytes.extend(generation.to_be_bytes());
    }
    let binding = chain.binding.as_deref();
    bytes.extend(binding.map_or(0, |binding| binding.since).to_be_bytes());
    bytes.extend(binding.map_or([0; 16], |binding| binding.nonce.0));
    put_array(bytes, binding.and_then(|binding| binding.parent_nonce.as_ref()).map(|nonce| &nonce.0));
}

fn put_end(bytes: &mut Vec<u8>, ended: Option<&Ended>) {
    put_optional_time(bytes, ended.map(|ended| ended.at));
    let (code, issued_to, reused_by) = match ended.map(|ended| ended.reason) {
        None => (0, Fingerprint::default(), None),
        Some(EndReason::Logout) => (1, Fingerprint::default(), None),
        Some(EndReason::Revoked) => (2, Fingerprint::default(), None),
        Some(EndReason::Replaced) => (3, Fingerprint::default(), None),
        Some(EndReason::Evicted) => (4, Fingerprint::default(), None),
        Some(EndReason::Theft { kind, issued_to, reused_by }) => (theft_code(kind), issued_to, reused_by),
    };
    bytes.push(code);
    bytes.extend(issued_to.0);
    put_array(bytes, reused_by.as_ref().map(|fingerprint| &fingerprint.0));
}

fn theft_code(kind: TheftKind) -> u8 {
    match kind {
        TheftKind::Fork => 5,
        TheftKind::Superseded => 6,
        TheftKind::DeadBranch => 7,
        TheftKind::OtherNonce => 8,
    }
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Undecodable { what: "it is cut short" })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Undecodable { what: "it is cut short" })?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        Ok(self.array::<1>()?[0])
    }

    fn flag(&mut self) -> Result<bool, Undecodable> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Undecodable { what: "a flag" }),
        }
    }

    fn number(&mut self) -> Result<u32, Undecodable> {
        self.array().map(u32::from_be_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, Undecodable> {
        let millis = u64::from_be_bytes(self.array()?);
        Ok(if millis < NEVER { Timestamp::from_millis(millis) } else { Timestamp::MAX })
    }

    fn optional_time(&mut self) -> Result<Option<Timestamp>, Undecodable> {
        let plus_one = u64::from_be_bytes(self.array()?);
        Ok(plus_one.checked_sub(1).map(Timestamp::from_millis))
    }

    fn optional_array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Undecodable> {
        let is_there = self.flag()?;
        let array = self.array()?;
        Ok(is_there.then_some(array))
    }

    fn text(&mut self) -> Result<&'a str, Undecodable> {
        let length = self.number()? as usize;
        let bytes = self.take(length)?;
        str::from_utf8(bytes).map_err(|_| Undecodable { what: "a text that is no UTF-8" })
    }

    fn optional_text(&mut self) -> Result<Option<&'a str>, Undecodable> {
        self.flag()?.then(|| self.text()).transpose()
    }

    fn rest(&mut self) -> Result<&'a str, Undecodable> {
        let bytes = self.take(self.0.len())?;
        str::from_utf8(bytes).map_err(|_| Undecodable { what: "a text that is no UTF-8" })
    }

    fn chain(&mut self) -> Result<Chain, Undecodable> {
        let (rotated_at, used_at) = (self.time()?, self.optional_time()?);
        let (generation, parent, grandparent) = (self.number()?, self.number()?, self.number()?);
        let (since, nonce) = (self.number()?, NonceHash(self.array()?));
        let parent_nonce = self.optional_array()?.map(NonceHash);
        let binding = (since > 0).then(|| Box::new(Binding { since, nonce, parent_nonce }));
        Ok(Chain { generation, parent, grandparent, rotated_at, used_at, binding })
    }

    fn end(&mut self) -> Result<Option<Ended>, Undecodable> {
        let at = self.optional_time()?;
        let code = self.byte()?;
        let issued_to = Fingerprint(self.array()?);
        let reused_by = self.optional_array()?.map(Fingerprint);
        let Some(at) = at else { return Ok(None) };
        let kind = match code {
            1 => return Ok(Some(Ended { at, reason: EndReason::Logout })),
            2 => return Ok(Some(Ended { at, reason: EndReason::Revoked })),
            3 => return Ok(Some(Ended { at, reason: EndReason::Replaced })),
            4 => return Ok(Some(Ended { at, reason: EndReason::Evicted })),
            5 => TheftKind::Fork,
            6 => TheftKind::Superseded,
            7 => TheftKind::DeadBranch,
            8 => TheftKind::OtherNonce,
            _ => return Err(Undecodable { what: "the reason of an end" }),
        };
        Ok(Some(Ended { at, reason: EndReason::Theft { kind, issued_to, reused_by } }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::NewRow;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn plain() -> Row {
        let new = NewRow {
            idle_lifetime: Duration::from_secs(60),
            fingerprint: Fingerprint([3; 16]),
            persistent: false,
            ..NewRow::new(SessionHandle::from_bytes([7; 16]), "alice", Salt([9; 32]))
        };
        new.into_row(NOW)
    }

    fn full() -> Row {
        let (nonce, parent_nonce) = (NonceHash([5; 16]), Some(NonceHash([6; 16])));
        let mut row = Row {
            tenant: Some("Bücher".into()),
            absolute_expires_at: NOW.after(Duration::from_secs(600)),
            persistent: true,
            origin: Some(Box::new(Origin {
                address: "2001:db8::1".parse().ok(),
                user_agent: Some("🦀".into()),
            })),
            replaces: Some(Box::new(SessionHandle::from_bytes([8; 16]))),
            claims: Some("{}".into()),
            data: Some("\0".into()),
            version: u32::MAX,
            ..plain()
        };
        row.chain = Chain {
            generation: u32::MAX,
            parent: 3,
            grandparent: 2,
            rotated_at: NOW,
            used_at: Some(Timestamp::default()),
            binding: Some(Box::new(Binding { since: 2, nonce, parent_nonce })),
        };
        row
    }

    fn reasons() -> Vec<EndReason> {
        let kinds = [TheftKind::Fork, TheftKind::Superseded, TheftKind::DeadBranch, TheftKind::OtherNonce];
        let (issued_to, reused_by) = (Fingerprint([1; 16]), Some(Fingerprint([2; 16])));
        let thefts = kinds.map(|kind| EndReason::Theft { kind, issued_to, reused_by });
        let plain = [EndReason::Logout, EndReason::Revoked, EndReason::Replaced, EndReason::Evicted];
        plain.into_iter().chain(thefts).collect()
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let mut rows = vec![plain(), full()];
        rows.extend(reasons().into_iter().map(|reason| {
            let mut row = full();
            assert!(row.end(reason, NOW));
            row
        }));
        for row in rows {
            assert_eq!(decode_row(&encode_row(&row)), Ok(Some(row)));
        }
    }

    #[test]
    fn the_parts_that_scripts_use_stand_where_they_look() {
        let mut row = full();
        row.end(EndReason::Logout, NOW);
        let bytes = encode_row(&row);
        let at = |lua: usize, length: usize| &bytes[lua - 1..lua - 1 + length];
        assert_eq!(at(3, 8), NOW.as_millis().to_be_bytes());
        assert_eq!(at(27, 8), row.absolute_expires_at.as_millis().to_be_bytes());
        assert_eq!(at(35, 8), NOW.as_millis().to_be_bytes());
        assert_eq!(at(51, 12), [[255; 4], [0, 0, 0, 3], [0, 0, 0, 2]].concat());
        assert_eq!(at(67, 16), [5; 16]);
        assert_eq!(at(100, 16), [3; 16]);
        assert_eq!(at(116, 8), (NOW.as_millis() + 1).to_be_bytes());
        assert_eq!(at(158, 8), 60_000_u64.to_be_bytes());
        assert_eq!(at(166, 17), [&[1][..], &[8; 16]].concat());
        assert_eq!(at(183, 16), [7; 16]);
        assert_eq!(at(199, 32), [9; 32]);
        assert_eq!(at(231, 9), *b"\0\0\0\x05alice");
        let (head, tail) = around_times(&bytes);
        assert_eq!((head.len(), &bytes[42..]), (2, tail));
    }

    #[test]
    fn a_revocation_is_read_as_it_was_written() {
        let mark = Revocation::User { user: "bob".into(), made_by: NOW };
        assert_eq!(decode_revocation(&encode_mark("bob", NOW)), Ok(mark));
        for reason in reasons() {
            let ended = Ended { at: NOW, reason };
            assert_eq!(decode_end(&encode_end(&ended)), Ok(ended));
            let mut row = full();
            assert!(row.end(reason, NOW));
            let told = Revocation::Session { handle: row.handle, user: "alice".into(), ended };
            assert_eq!(decode_revocation(&encode_told(&row)), Ok(told));
            assert_eq!(decode_row(&encode_marker(&ended)), Ok(None));
        }
    }

    #[test]
    fn what_was_cut_short_or_garbled_is_an_error() {
        let bytes = encode_row(&full());
        for length in 0..bytes.len() {
            assert!(decode_row(&bytes[..length]).is_err());
        }
        assert!(decode_row(b"\x02").is_err());
        assert!(decode_revocation(b"").is_err() && decode_revocation(b"\x02").is_err());
        assert!(decode_end(&[0; 42]).is_err());
    }
}
