-- What a model thought before its calls, where its provider wants to be told of it again.

ALTER TABLE steps ADD COLUMN thoughts TEXT;   -- JSON of `message::Thoughts`, screened; with the first call of the answer
