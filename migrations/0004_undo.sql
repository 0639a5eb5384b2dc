-- How a step that is done can be taken back, and why a turn is being taken back: both must survive a crash.

ALTER TABLE steps ADD COLUMN undo TEXT;      -- JSON of `saga::Way`; absent if nobody said how
ALTER TABLE turns ADD COLUMN failure TEXT;   -- JSON {code, message}; present from the moment the taking back begins
