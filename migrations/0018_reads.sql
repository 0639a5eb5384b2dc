-- What was thought in conversations that were deleted before thoughts were.
UPDATE steps SET thoughts = NULL WHERE thoughts IS NOT NULL AND turn IN
    (SELECT t.id FROM conversations c JOIN turns t ON t.conversation = c.id WHERE c.deleted_at IS NOT NULL);
