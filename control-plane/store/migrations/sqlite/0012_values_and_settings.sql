-- Personal values of events that name no customer: all of one batch and tenant in one blob
-- (src/projection/packed.rs). A value of a known customer has a row in `sidecar`, as before, and so have all values
-- of earlier batches.
CREATE TABLE sidecar_batches (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    stream INTEGER NOT NULL,
    -- Of the values that were held at first; those of erased events are taken out of the blob.
    first_ordinal INTEGER NOT NULL,
    last_ordinal INTEGER NOT NULL CHECK (last_ordinal >= first_ordinal),
    -- How many are held.
    held INTEGER NOT NULL,
    packed BLOB NOT NULL,
    PRIMARY KEY (tenant_id, stream, first_ordinal)
) STRICT;

-- Whether the event's values were taken out of the blobs, too. A version that knows nothing of blobs leaves that to
-- the ones that do.
ALTER TABLE erased_events ADD COLUMN scrubbed INTEGER NOT NULL DEFAULT 0;
UPDATE erased_events SET scrubbed = 1;
CREATE INDEX erased_events_pending ON erased_events (tenant_id, stream, ordinal) WHERE NOT scrubbed;

-- As forgotten_through (0011), for the blobs: a version that knows nothing of them forgets all the rest.
ALTER TABLE journal_head ADD COLUMN packed_forgotten_through INTEGER NOT NULL DEFAULT 0;

-- Reports on one link or one partner; without these they would read the hours of all.
CREATE INDEX rollup_links_link ON rollup_links (tenant_id, link_id, kind, hour);
CREATE INDEX rollup_links_partner ON rollup_links (tenant_id, partner_id, kind, hour);
CREATE INDEX conversions_link ON conversions (tenant_id, link_id, status, hour);
CREATE INDEX conversions_partner ON conversions (tenant_id, partner_id, status, hour);

-- How clicks go on and how advertisers report. The server reads and writes the JSON; the store does not look inside.

-- '{}' = every click to the destination, by a 302.
ALTER TABLE offers ADD COLUMN routing_json TEXT NOT NULL DEFAULT '{}';
-- Why an offer that is not active is not; a version before this one leaves it behind when it activates one.
ALTER TABLE offers ADD COLUMN pause_reason TEXT;
ALTER TABLE links ADD COLUMN settings_json TEXT NOT NULL DEFAULT '{}';
ALTER TABLE advertisers ADD COLUMN postback_json TEXT NOT NULL DEFAULT '{}';
-- Of the token that makes a postback a test.
ALTER TABLE advertisers ADD COLUMN test_token_sha256 BLOB CHECK (length(test_token_sha256) = 32);

-- Keys of signed postbacks: the newest, and the one before it.
CREATE TABLE postback_keys (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    key_id INTEGER NOT NULL CHECK (key_id BETWEEN 1 AND 255),
    key BLOB NOT NULL CHECK (length(key) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, key_id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers (tenant_id, id)
) STRICT;

-- A host belongs to one tenant of the deployment, since requests carry it alone.
CREATE TABLE domains (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    host TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    home_url TEXT,
    not_found_url TEXT,
    expired_url TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, host),
    UNIQUE (tenant_id, seq)
) STRICT;

-- What a link is called on a host.
CREATE TABLE slugs (
    tenant_id INTEGER NOT NULL,
    host TEXT NOT NULL,
    slug TEXT NOT NULL,
    link_id INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, host, slug),
    UNIQUE (tenant_id, link_id),
    FOREIGN KEY (tenant_id, host) REFERENCES domains (tenant_id, host),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links (tenant_id, id)
) STRICT;
