-- What the projector writes: roll-ups, personal values, and the intake.

-- One row per shard; advertiser 0 = the tenant's settlement shard. Ordinals are handed out here, under
-- this row's lock.
CREATE TABLE intake_heads (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    advertiser_id INTEGER NOT NULL,
    head INTEGER NOT NULL DEFAULT 0,
    last_recorded_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, advertiser_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE intake (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    -- The order or offer it is about.
    subject TEXT NOT NULL,
    -- Whose events these are, so that a person can be erased.
    customer BLOB,
    source_stream INTEGER,
    source_ordinal INTEGER,
    click_stream INTEGER,
    click_ordinal INTEGER,
    input TEXT NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, ordinal),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES intake_heads (tenant_id, advertiser_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX intake_subject ON intake (tenant_id, advertiser_id, subject, kind, ordinal);
CREATE INDEX intake_customer ON intake (tenant_id, customer) WHERE customer IS NOT NULL;

CREATE TABLE customers (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    customer_id TEXT NOT NULL,
    customer BLOB NOT NULL CHECK (length(customer) = 16),
    PRIMARY KEY (tenant_id, customer_id),
    UNIQUE (tenant_id, customer)
) STRICT;

CREATE TABLE sidecar (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    stream INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    class INTEGER NOT NULL,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    value BLOB NOT NULL,
    customer BLOB,
    PRIMARY KEY (tenant_id, stream, ordinal, class)
) STRICT, WITHOUT ROWID;
CREATE INDEX sidecar_customer ON sidecar (tenant_id, customer) WHERE customer IS NOT NULL;

-- Events whose personal values were erased: what arrives late for them is not kept.
CREATE TABLE erased_events (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    stream INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, stream, ordinal)
) STRICT, WITHOUT ROWID;

-- Several small cubes rather than one: each question reads few rows. 0 and '' stand for none.
CREATE TABLE rollup_links (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    hour INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    link_id INTEGER NOT NULL,
    offer_id INTEGER NOT NULL,
    partner_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_facts (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    hour INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    country TEXT NOT NULL,
    device INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, country, device, verdict)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_rules (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    hour INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    rule_set_version INTEGER NOT NULL,
    rule_id TEXT NOT NULL,
    verdict INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, rule_set_version, rule_id, verdict)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_refused (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    hour INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    hits INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour, advertiser_id, reason)
) STRICT, WITHOUT ROWID;

-- Which batches hold clicks of a tenant, and how many of each verdict: a list of clicks opens these alone.
CREATE TABLE click_batches (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    journal_seq INTEGER NOT NULL REFERENCES journal (seq),
    allowed INTEGER NOT NULL,
    flagged INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, journal_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX click_batches_flagged ON click_batches (tenant_id, journal_seq) WHERE flagged > 0;
CREATE INDEX click_batches_blocked ON click_batches (tenant_id, journal_seq) WHERE blocked > 0;

CREATE TABLE fraud_signals (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    stream INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
) STRICT;
