//! Rows and revocations as the columns of SQL tables: one mapping for every store that has them.
//!
//! Times and durations are whole milliseconds in a signed integer of 64 bits; its largest value stands for "never".

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

use super::{EndReason, Ended, Fingerprint, Origin, Revocation, Row, Salt};
use crate::{
    clock::Timestamp,
    handle::SessionHandle,
    rotation::{Binding, Chain, NonceHash, TheftKind},
};

macro_rules! columns {
    ($($column:ident $name:literal,)+) => {
        /// A column of the table of sessions. Its number is its place in [`Column::ALL`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Column {
            $($column,)+
        }

        impl Column {
            /// Every column, in the order in which [`decode_row`] reads them.
            pub(crate) const ALL: &[Self] = &[$(Self::$column,)+];

            /// Their names in the table.
            const NAMES: &[&str] = &[$($name,)+];
        }
    };
}

columns! {
    Handle "handle",
    User "user_id",
    Tenant "tenant",
    CreatedAt "created_at",
    AuthenticatedAt "authenticated_at",
    IdleExpiresAt "idle_expires_at",
    AbsoluteExpiresAt "absolute_expires_at",
    IdleLifetime "idle_lifetime",
    Generation "generation",
    Parent "parent",
    Grandparent "grandparent",
    RotatedAt "rotated_at",
    UsedAt "used_at",
    BoundSince "bound_since",
    Nonce "nonce",
    ParentNonce "parent_nonce",
    Salt "salt",
    Fingerprint "fingerprint",
    Version "version",
    Persistent "persistent",
    Address "address",
    UserAgent "user_agent",
    Replaces "replaces",
    Claims "claims",
    Data "data",
    EndedAt "ended_at",
    EndReason "end_reason",
    IssuedTo "issued_to",
    ReusedBy "reused_by",
}

impl Column {
    /// The columns that the steps of a row change; the others stay as they were made. None of them stands in an index, or every
    /// rotation would rewrite it.
    pub(crate) const CHANGING: &[Self] = &[
        Self::AuthenticatedAt,
        Self::IdleExpiresAt,
        Self::Generation,
        Self::Parent,
        Self::Grandparent,
        Self::RotatedAt,
        Self::UsedAt,
        Self::BoundSince,
        Self::Nonce,
        Self::ParentNonce,
        Self::Fingerprint,
        Self::Version,
        Self::Replaces,
        Self::Claims,
        Self::Data,
        Self::EndedAt,
        Self::EndReason,
        Self::IssuedTo,
        Self::ReusedBy,
    ];

    /// The column's name in the table.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// What a row has in this column.
    pub(crate) fn of(self, row: &Row) -> Value<'_> {
        let (chain, origin, ended) = (&row.chain, row.origin.as_deref(), row.ended.as_deref());
        let binding = chain.binding.as_deref();
        match self {
            Self::Handle => row.handle.as_bytes().into(),
            Self::User => (&*row.user).into(),
            Self::Tenant => row.tenant.as_deref().into(),
            Self::CreatedAt => row.created_at.into(),
            Self::AuthenticatedAt => row.authenticated_at.into(),
            Self::IdleExpiresAt => row.idle_expires_at.into(),
            Self::AbsoluteExpiresAt => row.absolute_expires_at.into(),
            Self::IdleLifetime => Timestamp::from_millis(row.idle_lifetime_ms).into(),
            Self::Generation => chain.generation.into(),
            Self::Parent => chain.parent.into(),
            Self::Grandparent => chain.grandparent.into(),
            Self::RotatedAt => chain.rotated_at.into(),
            Self::UsedAt => chain.used_at.into(),
            Self::BoundSince => binding.map(|binding| binding.since).into(),
            Self::Nonce => binding.map(|binding| &binding.nonce.0).into(),
            Self::ParentNonce => {
                binding.and_then(|binding| binding.parent_nonce.as_ref()).map(|nonce| &nonce.0).into()
            }
            Self::Salt => (&row.salt.0).into(),
            Self::Fingerprint => (&row.fingerprint.0).into(),
            Self::Version => row.version.into(),
            Self::Persistent => u32::from(row.persistent).into(),
            Self::Address => {
                origin.and_then(|origin| origin.address).map(|address| address.to_string()).into()
            }
            Self::UserAgent => origin.and_then(|origin| origin.user_agent.as_deref()).into(),
            Self::Replaces => row.replaces.as_deref().map(SessionHandle::as_bytes).into(),
            Self::Claims => row.claims.as_deref().into(),
            Self::Data => row.data.as_deref().into(),
            Self::EndedAt => ended.map(|ended| ended.at).into(),
            Self::EndReason => ended.map(|ended| reason_name(&ended.reason)).into(),
            Self::IssuedTo => ended.and_then(|ended| fingerprints(&ended.reason).0).into(),
            Self::ReusedBy => ended.and_then(|ended| fingerprints(&ended.reason).1).into(),
        }
    }
}

/// The columns of the table of revocations, apart from their count. Where `handle` is null, `ended_at` is the mark of a user.
pub(crate) const REVOCATION: [&str; 6] =
    ["handle", "user_id", "ended_at", "end_reason", "issued_to", "reused_by"];

/// What a revocation has in the columns of [`REVOCATION`].
pub(crate) fn encode_revocation(revocation: &Revocation) -> [Value<'_>; 6] {
    match revocation {
        Revocation::Session { handle, user, ended } => {
            let (issued_to, reused_by) = fingerprints(&ended.reason);
            [
                handle.as_bytes().into(),
                (&**user).into(),
                ended.at.into(),
                reason_name(&ended.reason).into(),
                issued_to.into(),
                reused_by.into(),
            ]
        }
        Revocation::User { user, made_by } => {
            [Value::Null, (&**user).into(), (*made_by).into(), Value::Null, Value::Null, Value::Null]
        }
    }
}

/// The revocation in the columns of [`REVOCATION`], the first of which is number `first`.
pub(crate) fn decode_revocation(record: &impl Record, first: usize) -> Result<Revocation, Undecodable> {
    let fields = Fields { record, names: &REVOCATION, first };
    let user = Arc::from(fields.text(1)?);
    let at = fields.time(2)?;
    let Some(handle) = fields.optional_bytes(0)?.map(SessionHandle::from_bytes) else {
        return Ok(Revocation::User { user, made_by: at });
    };
    let reason = fields.text(3)?;
    let reason =
        reason_of(&reason, fields.optional_bytes(4)?, fields.optional_bytes(5)?).ok_or(fields.wrong(3))?;
    Ok(Revocation::Session { handle, user, ended: Ended { at, reason } })
}

/// The row in the columns of [`Column::ALL`], which the record begins with.
pub(crate) fn decode_row(record: &impl Record) -> Result<Row, Undecodable> {
    let fields = Fields { record, names: Column::NAMES, first: 0 };
    let handle = SessionHandle::from_bytes(fields.bytes(Column::Handle as usize)?);
    decode_session(handle, &fields).map_err(|wrong| Undecodable { session: Some(handle), ..wrong })
}

fn decode_session(handle: SessionHandle, fields: &Fields<'_, impl Record>) -> Result<Row, Undecodable> {
    let at = |column: Column| column as usize;
    Ok(Row {
        handle,
        user: fields.text(at(Column::User))?.into(),
        tenant: fields.optional_text(at(Column::Tenant))?.map(Arc::from),
        created_at: fields.time(at(Column::CreatedAt))?,
        authenticated_at: fields.time(at(Column::AuthenticatedAt))?,
        idle_expires_at: fields.time(at(Column::IdleExpiresAt))?,
        absolute_expires_at: fields.time(at(Column::AbsoluteExpiresAt))?,
        idle_lifetime_ms: fields.time(at(Column::IdleLifetime))?.as_millis(),
        chain: decode_chain(fields)?,
        salt: Salt(fields.bytes(at(Column::Salt))?),
        fingerprint: Fingerprint(fields.bytes(at(Column::Fingerprint))?),
        version: fields.number(at(Column::Version))?,
        persistent: fields.number(at(Column::Persistent))? != 0,
        origin: decode_origin(fields)?,
        replaces: fields.optional_bytes(at(Column::Replaces))?.map(SessionHandle::from_bytes).map(Box::new),
        claims: fields.optional_text(at(Column::Claims))?.map(String::into_boxed_str),
        data: fields.optional_text(at(Column::Data))?.map(String::into_boxed_str),
        ended: decode_end(fields)?.map(Box::new),
    })
}

fn decode_chain(fields: &Fields<'_, impl Record>) -> Result<Chain, Undecodable> {
    let binding = match fields.optional_number(Column::BoundSince as usize)? {
        None => None,
        Some(since) => Some(Box::new(Binding {
            since,
            nonce: NonceHash(fields.bytes(Column::Nonce as usize)?),
            parent_nonce: fields.optional_bytes(Column::ParentNonce as usize)?.map(NonceHash),
        })),
    };
    Ok(Chain {
        generation: fields.number(Column::Generation as usize)?,
        parent: fields.number(Column::Parent as usize)?,
        grandparent: fields.number(Column::Grandparent as usize)?,
        rotated_at: fields.time(Column::RotatedAt as usize)?,
        used_at: fields.optional_time(Column::UsedAt as usize)?,
        binding,
    })
}

fn decode_origin(fields: &Fields<'_, impl Record>) -> Result<Option<Box<Origin>>, Undecodable> {
    let at = Column::Address as usize;
    let address = fields.optional_text(at)?;
    let address = address.map(|text| text.parse().map_err(|_| fields.wrong(at))).transpose()?;
    let user_agent = fields.optional_text(Column::UserAgent as usize)?.map(String::into_boxed_str);
    let is_known = address.is_some() || user_agent.is_some();
    Ok(is_known.then(|| Box::new(Origin { address, user_agent })))
}

fn decode_end(fields: &Fields<'_, impl Record>) -> Result<Option<Ended>, Undecodable> {
    let Some(at) = fields.optional_time(Column::EndedAt as usize)? else { return Ok(None) };
    let reason = fields.text(Column::EndReason as usize)?;
    let issued_to = fields.optional_bytes(Column::IssuedTo as usize)?;
    let reused_by = fields.optional_bytes(Column::ReusedBy as usize)?;
    let reason = reason_of(&reason, issued_to, reused_by).ok_or(fields.wrong(Column::EndReason as usize))?;
    Ok(Some(Ended { at, reason }))
}

fn reason_name(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Logout => "logout",
        EndReason::Revoked => "revoked",
        EndReason::Replaced => "replaced",
        EndReason::Evicted => "evicted",
        EndReason::Theft { kind: TheftKind::Fork, .. } => "theft: fork",
        EndReason::Theft { kind: TheftKind::Superseded, .. } => "theft: superseded",
        EndReason::Theft { kind: TheftKind::DeadBranch, .. } => "theft: dead branch",
        EndReason::Theft { kind: TheftKind::OtherNonce, .. } => "theft: other nonce",
    }
}

fn reason_of(name: &str, issued_to: Option<[u8; 16]>, reused_by: Option<[u8; 16]>) -> Option<EndReason> {
    let kind = match name {
        "logout" => return Some(EndReason::Logout),
        "revoked" => return Some(EndReason::Revoked),
        "replaced" => return Some(EndReason::Replaced),
        "evicted" => return Some(EndReason::Evicted),
        "theft: fork" => TheftKind::Fork,
        "theft: superseded" => TheftKind::Superseded,
        "theft: dead branch" => TheftKind::DeadBranch,
        "theft: other nonce" => TheftKind::OtherNonce,
        _ => return None,
    };
    Some(EndReason::Theft { kind, issued_to: Fingerprint(issued_to?), reused_by: reused_by.map(Fingerprint) })
}

/// The clients that a theft tells of: whom the current token was issued to, and who reused one.
fn fingerprints(reason: &EndReason) -> (Option<&[u8; 16]>, Option<&[u8; 16]>) {
    match reason {
        EndReason::Theft { issued_to, reused_by, .. } => {
            (Some(&issued_to.0), reused_by.as_ref().map(|fingerprint| &fingerprint.0))
        }
        _ => (None, None),
    }
}

/// What is kept in one column.
#[derive(Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

/// Shows no content: clients of databases log the parameters of statements, salts and claims among them.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => write!(f, "text of {} bytes", text.len()),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(at: Timestamp) -> Self {
        Self::Integer(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The time that is kept as a number.
pub(crate) fn time(millis: i64) -> Option<Timestamp> {
    match millis {
        i64::MAX => Some(Timestamp::MAX),
        _ => u64::try_from(millis).ok().map(Timestamp::from_millis),
    }
}

/// What a database answers for a row of a table: values by their number.
pub(crate) trait Record {
    /// The number in a column.
    fn integer(&self, at: usize) -> Result<Option<i64>, BoxError>;

    /// The text in a column.
    fn text(&self, at: usize) -> Result<Option<String>, BoxError>;

    /// The bytes in a column.
    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, BoxError>;
}

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What is refused where something else has a table by a name that one of these would have.
pub(crate) fn names_are_taken(said: &str, prefix: &str) -> BoxError {
    format!(
        "{said}: tables of something else have names that begin with `{prefix}`; choose another `table_prefix`"
    )
    .into()
}

/// What is kept is not what this library writes.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}`{} holds what no session has", session.map(|it| format!(" of session {it}")).unwrap_or_default())]
pub(crate) struct Undecodable {
    column: &'static str,
    session: Option<SessionHandle>,
    source: Option<BoxError>,
}

/// The columns of a record, read as what they should hold.
struct Fields<'a, R> {
    record: &'a R,
    names: &'static [&'static str],
    first: usize,
}

impl<R: Record> Fields<'_, R> {
    fn wrong(&self, at: usize) -> Undecodable {
        Undecodable { column: self.names[at], session: None, source: None }
    }

    fn unreadable(&self, at: usize) -> impl FnOnce(BoxError) -> Undecodable {
        let column = self.names[at];
        move |source| Undecodable { column, session: None, source: Some(source) }
    }

    fn optional_integer(&self, at: usize) -> Result<Option<i64>, Undecodable> {
        self.record.integer(self.first + at).map_err(self.unreadable(at))
    }

    fn optional_number(&self, at: usize) -> Result<Option<u32>, Undecodable> {
        let number = self.optional_integer(at)?;
        number.map(|number| u32::try_from(number).map_err(|_| self.wrong(at))).transpose()
    }

    fn number(&self, at: usize) -> Result<u32, Undecodable> {
        self.optional_number(at)?.ok_or_else(|| self.wrong(at))
    }

    fn optional_time(&self, at: usize) -> Result<Option<Timestamp>, Undecodable> {
        let millis = self.optional_integer(at)?;
        millis.map(|millis| time(millis).ok_or(self.wrong(at))).transpose()
    }

    fn time(&self, at: usize) -> Result<Timestamp, Undecodable> {
        self.optional_time(at)?.ok_or_else(|| self.wrong(at))
    }

    fn optional_text(&self, at: usize) -> Result<Option<String>, Undecodable> {
        self.record.text(self.first + at).map_err(self.unreadable(at))
    }

    fn text(&self, at: usize) -> Result<String, Undecodable> {
        self.optional_text(at)?.ok_or_else(|| self.wrong(at))
    }

    fn optional_bytes<const LEN: usize>(&self, at: usize) -> Result<Option<[u8; LEN]>, Undecodable> {
        let bytes = self.record.bytes(self.first + at).map_err(self.unreadable(at))?;
        bytes.map(|bytes| bytes.try_into().map_err(|_| self.wrong(at))).transpose()
    }

    fn bytes<const LEN: usize>(&self, at: usize) -> Result<[u8; LEN], Undecodable> {
        self.optional_bytes(at)?.ok_or_else(|| self.wrong(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, NewRow};

    /// A database that keeps what it is given.
    struct Kept(Vec<Value<'static>>);

    impl Kept {
        fn of(values: impl IntoIterator<Item = Value<'static>>) -> Self {
            Self(values.into_iter().collect())
        }

        fn row(row: &'static Row) -> Self {
            Self::of(Column::ALL.iter().map(|column| column.of(row)))
        }

        fn with(mut self, column: Column, value: Value<'static>) -> Self {
            self.0[column as usize] = value;
            self
        }
    }

    impl Record for Kept {
        fn integer(&self, at: usize) -> Result<Option<i64>, BoxError> {
            match &self.0[at] {
                Value::Null => Ok(None),
                Value::Integer(number) => Ok(Some(*number)),
                other => Err(format!("{other:?}").into()),
            }
        }

        fn text(&self, at: usize) -> Result<Option<String>, BoxError> {
            match &self.0[at] {
                Value::Null => Ok(None),
                Value::Text(text) => Ok(Some(text.to_string())),
                other => Err(format!("{other:?}").into()),
            }
        }

        fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, BoxError> {
            match &self.0[at] {
                Value::Null => Ok(None),
                Value::Bytes(bytes) => Ok(Some(bytes.to_vec())),
                other => Err(format!("{other:?}").into()),
            }
        }
    }

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn plain() -> Row {
        let new = NewRow {
            fingerprint: Fingerprint([3; 16]),
            ..NewRow::new(SessionHandle::from_bytes([1; 16]), "alice", Salt([2; 32]))
        };
        new.into_row(NOW)
    }

    fn full() -> Row {
        let mut row = Row {
            tenant: Some("tenant".into()),
            idle_lifetime_ms: u64::MAX,
            idle_expires_at: Timestamp::MAX,
            persistent: false,
            origin: Some(Box::new(Origin { address: "::1".parse().ok(), user_agent: Some("agent".into()) })),
            replaces: Some(Box::new(SessionHandle::from_bytes([4; 16]))),
            data: Some("1".into()),
            ..plain()
        };
        let binding = Binding { since: 7, nonce: NonceHash([5; 16]), parent_nonce: Some(NonceHash([6; 16])) };
        row.chain.binding = Some(Box::new(binding));
        row.chain.used_at = Some(NOW);
        row.change(0, &Change::Claims(Some("{}".into())), NOW);
        row
    }

    fn every_reason() -> Vec<EndReason> {
        let kinds = [TheftKind::Fork, TheftKind::Superseded, TheftKind::DeadBranch, TheftKind::OtherNonce];
        let clients = [None, Some(Fingerprint([8; 16]))];
        let issued_to = Fingerprint([7; 16]);
        let theft = |kind| clients.map(|reused_by| EndReason::Theft { kind, issued_to, reused_by });
        let others = [EndReason::Logout, EndReason::Revoked, EndReason::Replaced, EndReason::Evicted];
        kinds.into_iter().flat_map(theft).chain(others).collect()
    }

    fn leak<T>(value: T) -> &'static T {
        Box::leak(Box::new(value))
    }

    #[test]
    fn a_row_comes_back_as_it_was_kept() {
        let ended = every_reason().into_iter().map(|reason| {
            let mut row = full();
            row.end(reason, NOW);
            row
        });
        for row in [plain(), full()].into_iter().chain(ended) {
            let row = leak(row);
            assert_eq!(&decode_row(&Kept::row(row)).unwrap(), row);
        }
    }

    #[test]
    fn a_revocation_comes_back_as_it_was_kept() {
        let user: Arc<str> = "alice".into();
        let handle = SessionHandle::from_bytes([1; 16]);
        let end =
            |reason| Revocation::Session { handle, user: user.clone(), ended: Ended { at: NOW, reason } };
        let mark = Revocation::User { user: user.clone(), made_by: NOW };
        for revocation in every_reason().into_iter().map(end).chain([mark]) {
            let revocation = leak(revocation);
            let before = [Value::Integer(12)];
            let kept = Kept::of(before.into_iter().chain(encode_revocation(revocation)));
            assert_eq!(&decode_revocation(&kept, 1).unwrap(), revocation);
        }
    }

    #[test]
    fn what_no_session_has_is_an_error_that_names_the_column() {
        let wrong = [
            (Column::Handle, Value::Bytes(&[1; 15])),
            (Column::Handle, Value::Null),
            (Column::User, Value::Integer(1)),
            (Column::CreatedAt, Value::Integer(-1)),
            (Column::Generation, Value::Integer(1 << 32)),
            (Column::Salt, Value::Text("salt".into())),
            (Column::Address, Value::Text("nowhere".into())),
            (Column::EndReason, Value::Text("theft: other".into())),
            (Column::IssuedTo, Value::Bytes(&[])),
        ];
        let mut ended = full();
        ended.end(EndReason::Logout, NOW);
        let ended = leak(ended);
        for (column, value) in wrong {
            let error = decode_row(&Kept::row(ended).with(column, value)).unwrap_err();
            assert_eq!(error.column, column.name());
            assert_eq!(error.session, (column != Column::Handle).then_some(ended.handle));
        }
    }
}
