-- What several processes on one database need to agree on.

-- The oldest schema that a Tributary may know and still work with this database. Migrations that only add
-- leave it; one that takes something away raises it.
CREATE TABLE schema_floor (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    oldest BIGINT NOT NULL
);
INSERT INTO schema_floor (one, oldest) VALUES (1, 8);

-- Where the journal ends: numbers are handed out under this row's lock, and the time written never runs
-- backwards, whichever process's clock is behind.
CREATE TABLE journal_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    seq BIGINT NOT NULL,
    received_at BIGINT NOT NULL
) WITH (fillfactor = 50);
INSERT INTO journal_head (one, seq, received_at) VALUES (1, 0, 0);
DO $$ BEGIN
    PERFORM build_wall('(SELECT tenant_scope()) = -1', 'journal_head');
END $$;

-- When the batch it names was received: readers need not look at older days.
ALTER TABLE journal_checkpoints ADD COLUMN received_at BIGINT NOT NULL DEFAULT 0;

-- The control planes that are at work.
CREATE TABLE nodes (
    name TEXT COLLATE "C" PRIMARY KEY,
    version TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- Whose database this is, and whether money may leave it.
CREATE TABLE deployment (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    -- Of the certificate that edges trust; NULL = no control plane has been at work here yet.
    authority_sha256 BYTEA CHECK (octet_length(authority_sha256) = 32),
    -- How many times it was put back from a backup.
    restores BIGINT NOT NULL DEFAULT 0,
    -- Periods are not closed while this is set.
    frozen_at BIGINT,
    frozen_reason TEXT COLLATE "C" CHECK ((frozen_at IS NULL) = (frozen_reason IS NULL))
);
INSERT INTO deployment (one) VALUES (1);
