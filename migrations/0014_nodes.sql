-- What several nodes over one database must agree on, and what they tell each other.

-- Facts that the first node writes down and all others must share. They hang on no tenant.
CREATE TABLE installation (
    name  TEXT NOT NULL PRIMARY KEY, -- root_key: the id of the first root key; data_folder: the id in `people/`
    value TEXT NOT NULL
);

-- Clearings of caches get a number that all nodes share, by the row `cache` of `versions`: each reads on from the last
-- that it knows. What was kept under the counts of single nodes goes: it cannot be compared.
DELETE FROM cache_records;
DELETE FROM cache_marks;
ALTER TABLE cache_marks ADD COLUMN purged BIGINT NOT NULL DEFAULT 0; -- the number of the last clearing that also took out
CREATE INDEX cache_marks_at ON cache_marks (at);
CREATE INDEX cache_marks_since ON cache_marks (since);
INSERT INTO versions (name, version, updated_at) VALUES ('cache', 1, 0);

-- The version of the policies of a node that lives.
ALTER TABLE leases ADD COLUMN policies TEXT;
