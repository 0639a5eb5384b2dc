-- What was thought in conversations that were deleted before thoughts were.
UPDATE steps SET thoughts = NULL WHERE thoughts IS NOT NULL AND turn IN
    (SELECT t.id FROM conversations c JOIN turns t ON t.conversation = c.id WHERE c.deleted_at IS NOT NULL);

-- Everything of one person, under one name of all who have it: what an erasure looks for.
CREATE INDEX turns_by ON turns (tenant, user_id, owner);

-- The same, and what was decided about one person, by one index: each decision writes it.
CREATE INDEX decisions_by ON decisions (user_id, owner, at, id);
DROP INDEX decisions_of;
