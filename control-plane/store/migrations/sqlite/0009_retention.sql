-- Old days of the journal can be dropped; what is left still verifies.

-- Where what is left of a stream begins: the last batch that was dropped of it.
CREATE TABLE journal_anchors (
    stream INTEGER PRIMARY KEY REFERENCES streams (stream),
    last_ordinal INTEGER NOT NULL,
    head_hash BLOB NOT NULL CHECK (length(head_hash) = 32),
    dropped_at INTEGER NOT NULL
) STRICT;

-- Batches up to this number, all received before this time, count as dropped; their rows go soon after.
ALTER TABLE journal_head ADD COLUMN dropped_through INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal_head ADD COLUMN dropped_before INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER journal_no_delete;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
WHEN OLD.seq > coalesce((SELECT dropped_through FROM journal_head), 0) BEGIN
    SELECT RAISE(ABORT, 'journal is written once');
END;

-- The reference to the journal is looked at for each batch that goes.
CREATE INDEX click_batches_seq ON click_batches (journal_seq);
