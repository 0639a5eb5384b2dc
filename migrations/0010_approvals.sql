-- Who decided is believed only with a proof that a hand in the database cannot make.
ALTER TABLE approvals ADD COLUMN mac TEXT;

-- What was approved before and was not used yet has none: a person is asked again.
UPDATE approvals SET state = 'open', decided_by = NULL, decided_at = NULL, comment = NULL
WHERE state = 'approved' AND turn IN (SELECT id FROM turns WHERE state = 'waiting');
