-- == What edges have lost, and say so (src/gaps.rs). ==

-- Stands in a stream where the lost batches would have stood. Kept when days of the journal are dropped: a loss is not
-- forgotten.
CREATE TABLE stream_gaps (
    stream BIGINT NOT NULL REFERENCES streams (stream),
    first_ordinal BIGINT NOT NULL,
    last_ordinal BIGINT NOT NULL CHECK (last_ordinal >= first_ordinal),
    reason TEXT COLLATE "C" NOT NULL,
    -- The bytes that the edge has signed.
    declaration BYTEA NOT NULL,
    signature BYTEA NOT NULL CHECK (octet_length(signature) = 64),
    prev_hash BYTEA NOT NULL CHECK (octet_length(prev_hash) = 32),
    -- The stream's head behind it.
    resume_hash BYTEA NOT NULL CHECK (octet_length(resume_hash) = 32),
    received_at BIGINT NOT NULL,
    PRIMARY KEY (stream, first_ordinal)
);

CREATE TRIGGER stream_gaps_no_change BEFORE UPDATE OR DELETE ON stream_gaps FOR EACH ROW
    EXECUTE FUNCTION refuse('stream_gaps is written once');
CREATE TRIGGER stream_gaps_no_truncate BEFORE TRUNCATE ON stream_gaps
    EXECUTE FUNCTION refuse('stream_gaps is written once');

-- Where the stream stood when payouts were frozen: what is declared lost behind it may have been here before.
ALTER TABLE streams ADD COLUMN frozen_ordinal BIGINT NOT NULL DEFAULT 0;

-- == What an operator must look at (src/alerts.rs). ==

CREATE TABLE alerts (
    seq BIGINT PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    -- What it is about: an edge, and its lane where it is of one.
    subject TEXT COLLATE "C" NOT NULL,
    -- Of the last time.
    detail TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL CHECK (count > 0),
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT COLLATE "C" CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE acknowledged_at IS NULL;

-- == What edges report of themselves, the newest of each (src/edge_reports.rs). ==

CREATE TABLE edge_reports (
    edge_id BIGINT PRIMARY KEY REFERENCES edges (id),
    received_at BIGINT NOT NULL,
    -- How far our clock is ahead of the edge's, in microseconds.
    clock_offset BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    snapshot_version BIGINT NOT NULL,
    spool_bytes BIGINT NOT NULL,
    spool_limit BIGINT NOT NULL,
    -- NULL = the edge does not know.
    spool_free BIGINT,
    spool_trouble TEXT COLLATE "C" NOT NULL,
    lanes_json TEXT COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

DO $$ BEGIN
    -- The fleet's: no tenant's.
    PERFORM build_wall('(SELECT tenant_scope()) = -1', 'stream_gaps', 'alerts', 'edge_reports');
END $$;
