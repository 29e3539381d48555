-- 1: the call ended and wrote nothing, and has no row in logs. Most calls write nothing, and a row that says so costs as much
-- as another index.
ALTER TABLE calls ADD COLUMN empty_log SMALLINT;
