-- Clearings that a cache server could not be told of: whoever starts next, or reaches the server first, tells it.
CREATE TABLE cache_owed (
    tag    BYTEA  NOT NULL PRIMARY KEY,         -- digest of tenant and tag
    tenant TEXT   NOT NULL,
    purge  BIGINT NOT NULL,                     -- 1: what carries the tag must be taken out as well
    times  BIGINT NOT NULL,                     -- how often it was asked for: what is paid is not forgotten if it was owed anew
    since  BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID*/;
