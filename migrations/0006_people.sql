-- Whose secret it is: sealed under that person's key as well, which lies outside the database and can be destroyed.

ALTER TABLE secrets ADD COLUMN person TEXT;   -- digest of tenant and user; absent: nobody's
CREATE INDEX secrets_of ON secrets (person) WHERE person IS NOT NULL;
