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
