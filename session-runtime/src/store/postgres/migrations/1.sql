-- Sessions, one row each. Times are milliseconds since the Unix epoch.
CREATE TABLE {prefix}sessions (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handle              bytea NOT NULL UNIQUE,
    user_id             text COLLATE "C" NOT NULL,
    tenant              text,
    created_at          bigint NOT NULL,
    authenticated_at    bigint NOT NULL,
    idle_expires_at     bigint NOT NULL,
    absolute_expires_at bigint NOT NULL,
    idle_lifetime       bigint NOT NULL,
    generation          bigint NOT NULL,
    parent              bigint NOT NULL,
    grandparent         bigint NOT NULL,
    rotated_at          bigint NOT NULL,
    used_at             bigint,
    bound_since         bigint,
    nonce               bytea,
    parent_nonce        bytea,
    salt                bytea NOT NULL,
    fingerprint         bytea NOT NULL,
    version             bigint NOT NULL,
    persistent          bigint NOT NULL,
    address             text,
    user_agent          text,
    replaces            bytea,
    claims              text,
    data                text,
    ended_at            bigint,
    end_reason          text,
    issued_to           bytea,
    reused_by           bytea,
    -- When the purge looks at the row next. A rotation leaves it alone, and the purge moves it on when it is reached: so no
    -- rotation touches an index, and there is room for its new version on the same page.
    purge_at            bigint NOT NULL
) WITH (fillfactor = 60);

CREATE INDEX {name}sessions_user ON {prefix}sessions (user_id);
CREATE INDEX {name}sessions_purge ON {prefix}sessions (purge_at);

-- The ends of sessions, in order. Without a handle: everything of the user made at or before `ended_at` has ended.
CREATE TABLE {prefix}revocations (
    seq        bigint PRIMARY KEY,
    handle     bytea,
    user_id    text NOT NULL,
    ended_at   bigint NOT NULL,
    end_reason text,
    issued_to  bytea,
    reused_by  bytea
);

-- The number of the last revocation. Who publishes one holds this row until the commit, so that numbers become visible in
-- their order.
CREATE TABLE {prefix}feed (
    last bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO {prefix}feed VALUES (0);

-- Until when everything of a user was ended, so that no later session is taken for an earlier one. Who makes a session or ends all
-- of them holds the user's row meanwhile.
CREATE TABLE {prefix}marks (
    user_id text COLLATE "C" PRIMARY KEY,
    made_by bigint NOT NULL
) WITH (fillfactor = 60);

CREATE INDEX {name}marks_age ON {prefix}marks (made_by);
