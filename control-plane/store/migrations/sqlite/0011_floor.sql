-- A Tributary that knows less than 0010 must not work here any more. It would take a journal that begins at an
-- anchor (0009) for one that has lost batches, and after a restore (0010) give out epochs again that edges still
-- hold. Whoever has raised the floor further keeps it.
UPDATE schema_floor SET oldest = 10 WHERE oldest < 10;

-- Of batches up to this number, nothing is left to delete.
ALTER TABLE journal_head ADD COLUMN forgotten_through INTEGER NOT NULL DEFAULT 0;
