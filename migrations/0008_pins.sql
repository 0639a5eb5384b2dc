-- What the tools of upstream servers say of themselves: the definition that was accepted, and the one that waits.
-- Tools belong to the installation, not to a tenant.

CREATE TABLE tool_pins (
    tool        TEXT   NOT NULL PRIMARY KEY,    -- as it is offered: `server__tool`
    upstream    TEXT   NOT NULL,
    accepted    TEXT,                           -- digest of what counts; absent: nothing was accepted yet
    definition  TEXT,                           -- JSON of it
    accepted_by TEXT,                           -- who accepted it; absent: it was the first that was seen
    accepted_at BIGINT,
    held        TEXT,                           -- digest of what waits for a person; absent: nothing does
    held_as     TEXT,                           -- JSON of it
    held_at     BIGINT
);
CREATE INDEX tool_pins_of ON tool_pins (upstream);
CREATE INDEX tool_pins_held ON tool_pins (tool) WHERE held IS NOT NULL;

INSERT INTO versions (name, version, updated_at) VALUES ('tools', 0, 0);
