-- How often a turn was taken up since something of it was last written: one that comes no further is ended.
ALTER TABLE turns ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
