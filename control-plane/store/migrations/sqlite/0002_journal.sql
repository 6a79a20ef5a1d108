-- The fleet and its journal: deployment-wide, since an edge serves many tenants.

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE join_tokens (
    token_sha256 BLOB PRIMARY KEY CHECK (length(token_sha256) = 32),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    edge_id INTEGER
) STRICT;

CREATE TABLE edges (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    batch_public_key BLOB NOT NULL CHECK (length(batch_public_key) = 32),
    certificate_serial TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER,
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    -- The newest epoch and session; older ones are fenced.
    epoch INTEGER NOT NULL DEFAULT 0,
    session INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE edge_epochs (
    edge_id INTEGER NOT NULL REFERENCES edges (id),
    epoch INTEGER NOT NULL,
    reason TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    PRIMARY KEY (edge_id, epoch)
) STRICT;

CREATE TABLE streams (
    stream INTEGER PRIMARY KEY,
    edge_id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    last_ordinal INTEGER NOT NULL DEFAULT 0,
    head_hash BLOB NOT NULL CHECK (length(head_hash) = 32),
    status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'quarantined')),
    -- Why it is quarantined.
    reason TEXT CHECK ((status = 'open') = (reason IS NULL)),
    UNIQUE (edge_id, epoch, lane),
    FOREIGN KEY (edge_id, epoch) REFERENCES edge_epochs (edge_id, epoch)
) STRICT;

CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (stream),
    lane INTEGER NOT NULL,
    first_ordinal INTEGER NOT NULL,
    last_ordinal INTEGER NOT NULL CHECK (last_ordinal >= first_ordinal),
    events INTEGER NOT NULL,
    header BLOB NOT NULL,
    signature BLOB NOT NULL CHECK (length(signature) = 64),
    payload BLOB NOT NULL,
    head_hash BLOB NOT NULL CHECK (length(head_hash) = 32),
    received_at INTEGER NOT NULL,
    UNIQUE (stream, first_ordinal)
) STRICT;
CREATE INDEX journal_lane ON journal (lane, seq);

-- Personal values on their way to `sidecar`; never part of the journal, or nobody could be erased.
CREATE TABLE journal_sidecars (
    seq INTEGER PRIMARY KEY REFERENCES journal (seq),
    sidecar BLOB NOT NULL
) STRICT;

-- How far each reader of the journal has come.
CREATE TABLE journal_checkpoints (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO journal_checkpoints (name, seq) VALUES ('projector', 0);
