-- Which texts a version of the policies was made of. Policies belong to the installation, not to a tenant.

CREATE TABLE policy_texts (
    digest TEXT NOT NULL PRIMARY KEY,   -- SHA-256 of the text, hexadecimal
    text   TEXT NOT NULL
);

CREATE TABLE policy_sets (
    version TEXT   NOT NULL PRIMARY KEY, -- as decisions name it
    at      BIGINT NOT NULL,             -- when it was first in force
    files   TEXT   NOT NULL,             -- JSON: [{"file": "…", "digest": "…"}]
    tools   BIGINT NOT NULL              -- how many tools the catalogue had that it was made for
);
CREATE INDEX policy_sets_at ON policy_sets (at);
