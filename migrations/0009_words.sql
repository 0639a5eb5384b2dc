-- Which answer of its model a call stands in, and what the model said beside its calls.

ALTER TABLE steps ADD COLUMN answer BIGINT NOT NULL DEFAULT 0;   -- from 1 in each turn; 0: of no model, or from before this
ALTER TABLE steps ADD COLUMN said   TEXT;                        -- screened; with the first call of the answer
