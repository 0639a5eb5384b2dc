-- The trace in which a turn was asked for, so that what goes on later is told in it as well. None for older turns.
ALTER TABLE turns ADD COLUMN trace TEXT;
