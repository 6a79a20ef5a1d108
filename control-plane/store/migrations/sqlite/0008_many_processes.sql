-- What several processes on one database need to agree on.

-- The oldest schema that a Tributary may know and still work with this database. Migrations that only add
-- leave it; one that takes something away raises it.
CREATE TABLE schema_floor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    oldest INTEGER NOT NULL
) STRICT;
INSERT INTO schema_floor (one, oldest) VALUES (1, 8);

-- Where the journal ends: numbers are handed out under this row's lock, and the time written never runs
-- backwards, whichever process's clock is behind.
CREATE TABLE journal_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;
INSERT INTO journal_head (one, seq, received_at)
SELECT 1, coalesce(max(seq), 0), coalesce(max(received_at), 0) FROM journal;

-- When the batch it names was received: readers need not look at older days.
ALTER TABLE journal_checkpoints ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0;

-- The control planes that are at work.
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

-- Whose database this is, and whether money may leave it.
CREATE TABLE deployment (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Of the certificate that edges trust; NULL = no control plane has been at work here yet.
    authority_sha256 BLOB CHECK (length(authority_sha256) = 32),
    -- How many times it was put back from a backup.
    restores INTEGER NOT NULL DEFAULT 0,
    -- Periods are not closed while this is set.
    frozen_at INTEGER,
    frozen_reason TEXT CHECK ((frozen_at IS NULL) = (frozen_reason IS NULL))
) STRICT;
INSERT INTO deployment (one) VALUES (1);
