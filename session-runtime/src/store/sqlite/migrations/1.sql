-- Sessions, one row each. Times are milliseconds since the Unix epoch.
CREATE TABLE {prefix}sessions (
    id                  INTEGER PRIMARY KEY,
    handle              BLOB NOT NULL UNIQUE,
    user_id             TEXT NOT NULL,
    tenant              TEXT,
    created_at          INTEGER NOT NULL,
    authenticated_at    INTEGER NOT NULL,
    idle_expires_at     INTEGER NOT NULL,
    absolute_expires_at INTEGER NOT NULL,
    idle_lifetime       INTEGER NOT NULL,
    generation          INTEGER NOT NULL,
    parent              INTEGER NOT NULL,
    grandparent         INTEGER NOT NULL,
    rotated_at          INTEGER NOT NULL,
    used_at             INTEGER,
    bound_since         INTEGER,
    nonce               BLOB,
    parent_nonce        BLOB,
    salt                BLOB NOT NULL,
    fingerprint         BLOB NOT NULL,
    version             INTEGER NOT NULL,
    persistent          INTEGER NOT NULL,
    address             TEXT,
    user_agent          TEXT,
    replaces            BLOB,
    claims              TEXT,
    data                TEXT,
    ended_at            INTEGER,
    end_reason          TEXT,
    issued_to           BLOB,
    reused_by           BLOB,
    -- When the purge looks at the row next. A rotation leaves it alone, and the purge moves it on when it is reached: so no
    -- rotation rewrites an index.
    purge_at            INTEGER NOT NULL
) STRICT;

CREATE INDEX {prefix}sessions_user ON {prefix}sessions (user_id);
CREATE INDEX {prefix}sessions_purge ON {prefix}sessions (purge_at);

-- The ends of sessions, in order. Without a handle: everything of the user made at or before `ended_at` has ended.
CREATE TABLE {prefix}revocations (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    handle     BLOB,
    user_id    TEXT NOT NULL,
    ended_at   INTEGER NOT NULL,
    end_reason TEXT,
    issued_to  BLOB,
    reused_by  BLOB
) STRICT;

-- Until when everything of a user was ended, so that no later session is taken for an earlier one.
CREATE TABLE {prefix}marks (
    user_id TEXT NOT NULL PRIMARY KEY,
    made_by INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX {prefix}marks_age ON {prefix}marks (made_by);
