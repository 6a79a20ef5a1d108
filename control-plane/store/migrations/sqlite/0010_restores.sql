-- What a database that was put back from a backup must know about numbers that it has given out and forgotten.

-- Epochs up to here may have been given out before a restore: the next one lies behind it, and an edge that
-- comes with one of them may go on with it.
ALTER TABLE edges ADD COLUMN epoch_floor INTEGER NOT NULL DEFAULT 0;

-- The last ordinal of the stream's sealed batches on the edge, when it last opened a session; NULL = it has not
-- said since the last restore.
ALTER TABLE streams ADD COLUMN held INTEGER;
