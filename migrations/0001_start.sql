-- The tables of Cardea, one text for SQLite and PostgreSQL.
--
-- Conventions: ids are texts such as `turn_…`; points in time are milliseconds since 1970; money is in millionths of
-- the configured currency; JSON is text; flags are 0 or 1. `tenant` keeps organisations apart. `owner` is
-- `Principal::key()` (tenant, issuer and user, with lengths), `user_id` the `sub` for people to read.
-- A comment of the form "sqlite: WORDS" becomes the words WORDS on SQLite.

-- Conversations and what was said in them -----------------------------------------------------------------------

CREATE TABLE conversations (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant      TEXT   NOT NULL,
    owner       TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,
    agent       TEXT   NOT NULL,
    title       TEXT   NOT NULL DEFAULT '',
    next_seq    BIGINT NOT NULL DEFAULT 1,      -- the sequence of the next message
    open_turn   TEXT,                           -- at most one turn at a time
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    deleted_at  BIGINT
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX conversations_of ON conversations (owner, updated_at);

CREATE TABLE messages (
    conversation TEXT   NOT NULL,
    seq          BIGINT NOT NULL,               -- from 1, without gaps
    id           TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    turn         TEXT   NOT NULL,
    role         TEXT   NOT NULL,               -- user, assistant, tool
    body         TEXT   NOT NULL,               -- JSON of `message::Message`
    tokens       BIGINT NOT NULL DEFAULT 0,     -- estimate, to cut the window
    at           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
) /*sqlite: WITHOUT ROWID*/;

-- The journal of turns and steps --------------------------------------------------------------------------------

CREATE TABLE turns (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant        TEXT   NOT NULL,
    owner         TEXT   NOT NULL,
    user_id       TEXT   NOT NULL,
    principal     TEXT   NOT NULL,              -- JSON of the verified facts, to go on after a restart
    kind          TEXT   NOT NULL,              -- chat, complete, call
    agent         TEXT   NOT NULL,
    conversation  TEXT,
    prompt        TEXT   NOT NULL DEFAULT '',   -- what was asked, screened
    state         TEXT   NOT NULL,              -- running, waiting, answered, failed, unwound
    waiting_for   TEXT,                         -- the approval that a sleeping turn waits for
    node          TEXT   NOT NULL,              -- who runs it
    node_fence    BIGINT NOT NULL,              -- the start of that node
    fence         BIGINT NOT NULL,              -- grows with each new owner; guarded by every commit
    steps         BIGINT NOT NULL DEFAULT 0,
    reflections   BIGINT NOT NULL DEFAULT 0,
    events        BIGINT NOT NULL DEFAULT 0,
    input_tokens  BIGINT NOT NULL DEFAULT 0,
    cached_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cost_micros   BIGINT NOT NULL DEFAULT 0,
    code          TEXT,                         -- the error code of a failed turn
    receipt       TEXT,                         -- JSON, once it has ended
    request       TEXT   NOT NULL DEFAULT '',   -- the request id it came with
    commits       BIGINT NOT NULL DEFAULT 0,    -- tells whether a commit without an answer has arrived
    taint         TEXT   NOT NULL DEFAULT '[]', -- JSON list: where untrusted text came in
    started_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    deadline_at   BIGINT NOT NULL,
    ended_at      BIGINT
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX turns_open ON turns (node) WHERE ended_at IS NULL;
CREATE INDEX turns_of ON turns (conversation, started_at) WHERE conversation IS NOT NULL;

CREATE TABLE steps (
    turn        TEXT   NOT NULL,
    number      BIGINT NOT NULL,                -- from 1; turn and number are the idempotency key upstream
    id          TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    call_id     TEXT   NOT NULL,                -- the model's id for the call
    tool        TEXT   NOT NULL,
    effect      TEXT   NOT NULL,                -- read, write, destructive
    safety      TEXT   NOT NULL,                -- keyed, checked, neither: what a repeat may do
    state       TEXT   NOT NULL,                -- planned, waiting, started, done, failed, unknown, refused, compensating, compensated
    args        TEXT   NOT NULL,                -- JSON, without secrets: those are put in last
    args_digest TEXT   NOT NULL,
    approval    TEXT,
    decision    TEXT,
    outcome     TEXT,                           -- JSON of `tool::Outcome`
    attempts    BIGINT NOT NULL DEFAULT 0,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT,
    PRIMARY KEY (turn, number)
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE events (
    turn   TEXT   NOT NULL,
    seq    BIGINT NOT NULL,                     -- from 1, without gaps: a stream goes on after any of them
    tenant TEXT   NOT NULL,
    kind   TEXT   NOT NULL,
    body   TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (turn, seq)
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE idempotency (
    owner       TEXT   NOT NULL,
    route       TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,                -- digest of the request: the same key may not ask for something else
    turn        TEXT,
    receipt     TEXT,                           -- JSON; absent while the request runs
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (owner, route, key)
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX idempotency_old ON idempotency (expires_at);

CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,     -- `node/NAME` for nodes; other names for work that only one node does
    holder     TEXT   NOT NULL,
    fence      BIGINT NOT NULL,                 -- grows with each new holder
    expires_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;

-- Decisions of people and of policy -----------------------------------------------------------------------------

CREATE TABLE approvals (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant      TEXT   NOT NULL,
    turn        TEXT   NOT NULL,
    step        BIGINT NOT NULL,
    owner       TEXT   NOT NULL,                -- who asked: may not decide
    user_id     TEXT   NOT NULL,
    tool        TEXT   NOT NULL,
    args        TEXT   NOT NULL,                -- screened, for the person who decides
    args_digest TEXT   NOT NULL,
    digest      TEXT   NOT NULL,                -- binds caller, tool, arguments and expiry
    reason      TEXT   NOT NULL DEFAULT '',
    roles       TEXT   NOT NULL DEFAULT '[]',   -- JSON list: who decides must have one of these
    state       TEXT   NOT NULL,                -- open, approved, rejected, expired, spent
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    decided_by  TEXT,
    decided_at  BIGINT,
    comment     TEXT
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX approvals_open ON approvals (tenant, created_at) WHERE state = 'open';
CREATE INDEX approvals_of ON approvals (turn, step);

CREATE TABLE decisions (
    tenant         TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    id             TEXT   NOT NULL,
    owner          TEXT   NOT NULL,
    user_id        TEXT   NOT NULL,
    action         TEXT   NOT NULL,
    resource       TEXT   NOT NULL,
    verdict        TEXT   NOT NULL,             -- allow, deny, approval
    reason         TEXT   NOT NULL,
    policies       TEXT   NOT NULL,             -- JSON list of policy ids
    policy_version TEXT   NOT NULL,
    turn           TEXT,
    request        TEXT,
    context        TEXT   NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, at, id)
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE budgets (
    tenant     TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,                 -- an owner key, or empty for the whole tenant
    period     TEXT   NOT NULL,                 -- such as `2026-11`
    unit       TEXT   NOT NULL,                 -- tokens, micros
    reserved   BIGINT NOT NULL DEFAULT 0,
    spent      BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, user_id, period, unit)
) /*sqlite: WITHOUT ROWID*/;

-- Keys and secrets ----------------------------------------------------------------------------------------------

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    prefix       TEXT   NOT NULL UNIQUE,
    hash         BYTEA  NOT NULL,
    tenant       TEXT   NOT NULL,
    user_id      TEXT   NOT NULL,
    name         TEXT   NOT NULL DEFAULT '',
    roles        TEXT   NOT NULL DEFAULT '[]',
    scopes       TEXT   NOT NULL DEFAULT '[]',
    created_by   TEXT   NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX api_keys_of ON api_keys (tenant, user_id);

CREATE TABLE secrets (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant      TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    key_id      TEXT   NOT NULL,                -- the root key that wrapped the data key
    wrapped_key BYTEA  NOT NULL,
    sealed      BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (tenant, name)
);

-- Proof and coordination ----------------------------------------------------------------------------------------

CREATE TABLE audit (
    node   TEXT   NOT NULL,                     -- one chain for each node
    seq    BIGINT NOT NULL,
    tenant TEXT   NOT NULL,                     -- repeated from the body, to search; verification compares them
    at     BIGINT NOT NULL,
    body   BYTEA  NOT NULL,                     -- canonical JSON, under the chain
    link   BYTEA  NOT NULL,
    PRIMARY KEY (node, seq)
) /*sqlite: WITHOUT ROWID*/;
CREATE INDEX audit_of ON audit (tenant, at);

CREATE TABLE audit_heads (
    node TEXT   NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL,
    link BYTEA  NOT NULL
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE versions (
    name       TEXT   NOT NULL PRIMARY KEY,     -- `policy` and other sets that nodes watch
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;
