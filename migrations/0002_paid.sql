-- What a budget has already paid of a turn: it pays at each pause and at the end, in the commit that says what was used.
ALTER TABLE turns ADD COLUMN paid_tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN paid_micros BIGINT NOT NULL DEFAULT 0;
