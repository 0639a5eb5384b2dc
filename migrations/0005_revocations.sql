-- Tokens that are no longer accepted, and when nodes learn of it: each reads on from the last number that it knows.

CREATE TABLE revocations (
    seq        BIGINT NOT NULL PRIMARY KEY,     -- grows with each commit, by the row `revocations` of `versions`
    tenant     TEXT   NOT NULL,
    token      TEXT,                            -- one token: its `jti`, or a digest of what was signed
    user_id    TEXT,                            -- or all tokens that this user was issued until `at`
    issuer     TEXT,                            -- of the user; absent: whichever
    at         BIGINT NOT NULL,
    ends_at    BIGINT,                          -- when the token ends by itself; absent: kept for good
    made_by    TEXT   NOT NULL
);
CREATE INDEX revocations_of ON revocations (tenant, seq);
CREATE INDEX revocations_old ON revocations (ends_at) WHERE ends_at IS NOT NULL;

INSERT INTO versions (name, version, updated_at) VALUES ('revocations', 0, 0);
