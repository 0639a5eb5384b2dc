-- What the caches must not forget -------------------------------------------------------------------------------

CREATE TABLE cache_records (                    -- a copy of the cache in memory, where `cache.persist` is on
    place  BYTEA  NOT NULL,                     -- digest of everything around the question
    key    BYTEA  NOT NULL,                     -- digest of the question
    tenant TEXT   NOT NULL,
    until  BIGINT NOT NULL,
    record BYTEA  NOT NULL,                     -- sealed
    PRIMARY KEY (place, key)
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE cache_marks (                      -- tags that were cleared
    tag    BYTEA  NOT NULL PRIMARY KEY,         -- digest of tenant and tag
    tenant TEXT   NOT NULL,
    at     BIGINT NOT NULL,                     -- the count of clearings
    since  BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;

CREATE TABLE cache_budgets (                    -- what checks of cached answers have shown
    tenant     TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    node       TEXT   NOT NULL,
    state      TEXT   NOT NULL,                 -- JSON of `cache::Budget`
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent, node)
) /*sqlite: WITHOUT ROWID*/;
