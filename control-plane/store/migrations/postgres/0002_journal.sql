-- The fleet and its journal: deployment-wide, since an edge serves many tenants.

CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE join_tokens (
    token_sha256 BYTEA PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    edge_id BIGINT
);

CREATE TABLE edges (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    batch_public_key BYTEA NOT NULL CHECK (octet_length(batch_public_key) = 32),
    certificate_serial TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    revoked BOOLEAN NOT NULL DEFAULT false,
    -- The newest epoch and session; older ones are fenced.
    epoch BIGINT NOT NULL DEFAULT 0,
    session BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE edge_epochs (
    edge_id BIGINT NOT NULL REFERENCES edges (id),
    epoch BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT NOT NULL,
    PRIMARY KEY (edge_id, epoch)
);

CREATE TABLE streams (
    stream BIGINT PRIMARY KEY,
    edge_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    last_ordinal BIGINT NOT NULL DEFAULT 0,
    head_hash BYTEA NOT NULL CHECK (octet_length(head_hash) = 32),
    status TEXT COLLATE "C" NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'quarantined')),
    -- Why it is quarantined.
    reason TEXT COLLATE "C" CHECK ((status = 'open') = (reason IS NULL)),
    UNIQUE (edge_id, epoch, lane),
    FOREIGN KEY (edge_id, epoch) REFERENCES edge_epochs (edge_id, epoch)
) WITH (fillfactor = 50);

-- One partition per UTC day of arrival, so that a day can be dropped whole; ensure_day makes them ahead, and
-- there is none for what falls beside them. A key of a partitioned table must hold the day, so these do not
-- reach over all days: seq is handed out under the journal's head row (0008), ordinals under the stream's row.
CREATE TABLE journal (
    seq BIGINT NOT NULL,
    -- No reference to streams: making a day would lock that table. Its row is locked when a batch comes.
    stream BIGINT NOT NULL,
    lane BIGINT NOT NULL,
    first_ordinal BIGINT NOT NULL,
    last_ordinal BIGINT NOT NULL CHECK (last_ordinal >= first_ordinal),
    events BIGINT NOT NULL,
    header BYTEA NOT NULL,
    signature BYTEA NOT NULL CHECK (octet_length(signature) = 64),
    payload BYTEA NOT NULL,
    head_hash BYTEA NOT NULL CHECK (octet_length(head_hash) = 32),
    received_at BIGINT NOT NULL,
    PRIMARY KEY (seq, received_at),
    UNIQUE (stream, first_ordinal, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX journal_lane ON journal (lane, seq);
-- Compressed by the edge.
ALTER TABLE journal ALTER header SET STORAGE EXTERNAL, ALTER payload SET STORAGE EXTERNAL;

-- Personal values on their way to `sidecar`; never part of the journal, or nobody could be erased. No
-- reference to the journal: it has no key on seq alone, and its days must be droppable.
CREATE TABLE journal_sidecars (
    seq BIGINT PRIMARY KEY,
    sidecar BYTEA NOT NULL
);

-- How far each reader of the journal has come.
CREATE TABLE journal_checkpoints (
    name TEXT COLLATE "C" PRIMARY KEY,
    seq BIGINT NOT NULL
) WITH (fillfactor = 50);
INSERT INTO journal_checkpoints (name, seq) VALUES ('projector', 0);

DO $$ BEGIN
    -- Rows of many tenants, sealed together: the deployment's alone.
    PERFORM build_wall('(SELECT tenant_scope()) = -1', 'join_tokens', 'edges', 'edge_epochs', 'streams',
        'journal', 'journal_sidecars', 'journal_checkpoints');
    -- Money moves in a tenant's scope, and only under a lease.
    PERFORM build_wall('(SELECT tenant_scope()) IS NOT NULL', 'leases');
END $$;

-- A table that has a partition per UTC day. Any other is refused, so that nobody's text becomes a
-- statement; so is a tenant's scope, which does not see all the rows that days are made and dropped of.
CREATE FUNCTION daily_table(parent TEXT) RETURNS REGCLASS LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF parent NOT IN ('journal', 'rollup_links', 'rollup_facts', 'rollup_rules', 'rollup_refused') THEN
        RAISE EXCEPTION '% is not partitioned by day', parent;
    ELSIF tenant_scope() IS DISTINCT FROM -1 THEN
        RAISE EXCEPTION 'days are made and dropped in the scope of the deployment';
    END IF;
    RETURN parent::regclass;
END $$;

-- Asks the table itself: to_regclass would remember that the day was missing before the wait for the lock.
CREATE FUNCTION has_day(daily REGCLASS, name TEXT) RETURNS BOOLEAN LANGUAGE sql
    RETURN EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = daily AND c.relname = name);

-- Makes the partition of the day that begins at day_start, if it is missing. Readers and writers of the
-- table go on meanwhile; rows of the day that fell into <parent>_other move over. Who was writing such a row
-- to <parent>_other just then is refused (23514), and may do it again.
CREATE FUNCTION ensure_day(parent TEXT, day_start BIGINT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    daily CONSTANT REGCLASS := daily_table(parent);
    day_end CONSTANT BIGINT := day_start + 86400000000;
    name CONSTANT TEXT := format('%s_d%s', parent,
        to_char(to_timestamp(day_start / 1000000) AT TIME ZONE 'UTC', 'YYYYMMDD'));
BEGIN
    IF day_start < 0 OR day_start % 86400000000 <> 0 THEN
        RAISE EXCEPTION '% is not the start of a day', day_start;
    ELSIF has_day(daily, name) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::int, daily::oid::int);
    IF has_day(daily, name) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    -- Nobody needs to come here directly; who does meets the same refusals. Row triggers come with the
    -- parent.
    PERFORM build_wall(pg_get_expr(polqual, polrelid), name) FROM pg_policy WHERE polrelid = daily;
    IF parent = 'journal' THEN
        EXECUTE format('CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON %I
            EXECUTE FUNCTION refuse(''journal is written once'')', name);
    ELSE
        -- Locked before the move, so that no row of the day comes in behind it.
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent || '_other');
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE hour >= $1 AND hour < $2 RETURNING *)
            INSERT INTO %I SELECT * FROM moved', parent || '_other', name) USING day_start, day_end;
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
        parent, name, day_start, day_end);
END $$;

-- Drops every day that ends at or before the given time, and such days of <parent>_other; says how many
-- partitions that were. Readers and writers of the table wait for it.
CREATE FUNCTION drop_days(parent TEXT, before BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    daily CONSTANT REGCLASS := daily_table(parent);
    name TEXT;
    dropped BIGINT := 0;
BEGIN
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::int, daily::oid::int);
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = daily
            AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(\d+)''\)')::bigint <= before
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    IF parent <> 'journal' THEN
        EXECUTE format('DELETE FROM %I WHERE hour < $1', parent || '_other')
            USING before - before % 86400000000;
    END IF;
    RETURN dropped;
END $$;

-- As in 0001.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['daily_table', 'ensure_day', 'drop_days'] LOOP
        EXECUTE format('ALTER FUNCTION %I SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
