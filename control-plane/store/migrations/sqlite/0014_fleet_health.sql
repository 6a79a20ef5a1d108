-- == What edges have lost, and say so (src/gaps.rs). ==

-- Stands in a stream where the lost batches would have stood. Kept when days of the journal are dropped: a loss is not
-- forgotten.
CREATE TABLE stream_gaps (
    stream INTEGER NOT NULL REFERENCES streams (stream),
    first_ordinal INTEGER NOT NULL,
    last_ordinal INTEGER NOT NULL CHECK (last_ordinal >= first_ordinal),
    reason TEXT NOT NULL,
    -- The bytes that the edge has signed.
    declaration BLOB NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    -- The stream's head behind it.
    resume_hash BLOB NOT NULL CHECK (length(resume_hash) = 32),
    received_at INTEGER NOT NULL,
    PRIMARY KEY (stream, first_ordinal)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER stream_gaps_no_update BEFORE UPDATE ON stream_gaps BEGIN
    SELECT RAISE(ABORT, 'stream_gaps is written once');
END;
CREATE TRIGGER stream_gaps_no_delete BEFORE DELETE ON stream_gaps BEGIN
    SELECT RAISE(ABORT, 'stream_gaps is written once');
END;
CREATE TRIGGER stream_gaps_no_replace BEFORE INSERT ON stream_gaps
WHEN EXISTS (
    SELECT 1 FROM stream_gaps g WHERE g.stream = NEW.stream AND g.first_ordinal = NEW.first_ordinal
) BEGIN
    SELECT RAISE(ABORT, 'stream_gaps is written once');
END;

-- Where the stream stood when payouts were frozen: what is declared lost behind it may have been here before.
ALTER TABLE streams ADD COLUMN frozen_ordinal INTEGER NOT NULL DEFAULT 0;

-- == What an operator must look at (src/alerts.rs). ==

CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    -- What it is about: an edge, and its lane where it is of one.
    subject TEXT NOT NULL,
    -- Of the last time.
    detail TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    acknowledged_at INTEGER,
    acknowledged_by TEXT CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE acknowledged_at IS NULL;

-- == What edges report of themselves, the newest of each (src/edge_reports.rs). ==

CREATE TABLE edge_reports (
    edge_id INTEGER PRIMARY KEY REFERENCES edges (id),
    received_at INTEGER NOT NULL,
    -- How far our clock is ahead of the edge's, in microseconds.
    clock_offset INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    snapshot_version INTEGER NOT NULL,
    spool_bytes INTEGER NOT NULL,
    spool_limit INTEGER NOT NULL,
    -- NULL = the edge does not know.
    spool_free INTEGER,
    spool_trouble TEXT NOT NULL,
    lanes_json TEXT NOT NULL
) STRICT;
