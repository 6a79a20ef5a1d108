-- What the projector writes: roll-ups, personal values, and the intake.

-- One row per shard; advertiser 0 = the tenant's settlement shard. Ordinals are handed out here, under
-- this row's lock.
CREATE TABLE intake_heads (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    advertiser_id BIGINT NOT NULL,
    head BIGINT NOT NULL DEFAULT 0,
    last_recorded_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, advertiser_id)
) WITH (fillfactor = 50);

CREATE TABLE intake (
    tenant_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    -- The order or offer it is about.
    subject TEXT COLLATE "C" NOT NULL,
    -- Whose events these are, so that a person can be erased.
    customer BYTEA,
    source_stream BIGINT,
    source_ordinal BIGINT,
    click_stream BIGINT,
    click_ordinal BIGINT,
    input TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, ordinal),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES intake_heads (tenant_id, advertiser_id)
);
CREATE INDEX intake_subject ON intake (tenant_id, advertiser_id, subject, kind, ordinal);
CREATE INDEX intake_customer ON intake (tenant_id, customer) WHERE customer IS NOT NULL;

CREATE TABLE customers (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    customer_id TEXT COLLATE "C" NOT NULL,
    customer BYTEA NOT NULL CHECK (octet_length(customer) = 16),
    PRIMARY KEY (tenant_id, customer_id),
    UNIQUE (tenant_id, customer)
);

CREATE TABLE sidecar (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    stream BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    class BIGINT NOT NULL,
    salt BYTEA NOT NULL CHECK (octet_length(salt) = 16),
    value BYTEA NOT NULL,
    customer BYTEA,
    PRIMARY KEY (tenant_id, stream, ordinal, class)
);
CREATE INDEX sidecar_customer ON sidecar (tenant_id, customer) WHERE customer IS NOT NULL;

-- Events whose personal values were erased: what arrives late for them is not kept.
CREATE TABLE erased_events (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    stream BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, stream, ordinal)
);

-- Several small cubes rather than one: each question reads few rows. 0 and '' stand for none.
-- One partition per UTC day, made ahead by ensure_day; what an edge with a clock far off reports goes to
-- _other.
CREATE TABLE rollup_links (
    tenant_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    link_id BIGINT NOT NULL,
    offer_id BIGINT NOT NULL,
    partner_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    verdict BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict)
) PARTITION BY RANGE (hour);
CREATE TABLE rollup_links_other PARTITION OF rollup_links DEFAULT;

CREATE TABLE rollup_facts (
    tenant_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    country TEXT COLLATE "C" NOT NULL,
    device BIGINT NOT NULL,
    verdict BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, country, device, verdict)
) PARTITION BY RANGE (hour);
CREATE TABLE rollup_facts_other PARTITION OF rollup_facts DEFAULT;

CREATE TABLE rollup_rules (
    tenant_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    rule_set_version BIGINT NOT NULL,
    rule_id TEXT COLLATE "C" NOT NULL,
    verdict BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour, kind, rule_set_version, rule_id, verdict)
) PARTITION BY RANGE (hour);
CREATE TABLE rollup_rules_other PARTITION OF rollup_rules DEFAULT;

CREATE TABLE rollup_refused (
    tenant_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour, advertiser_id, reason)
) PARTITION BY RANGE (hour);
CREATE TABLE rollup_refused_other PARTITION OF rollup_refused DEFAULT;

-- Which batches hold clicks of a tenant, and how many of each verdict: a list of clicks opens these alone. No
-- reference to the journal, as with journal_sidecars.
CREATE TABLE click_batches (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    journal_seq BIGINT NOT NULL,
    allowed BIGINT NOT NULL,
    flagged BIGINT NOT NULL,
    blocked BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, journal_seq)
);
CREATE INDEX click_batches_flagged ON click_batches (tenant_id, journal_seq) WHERE flagged > 0;
CREATE INDEX click_batches_blocked ON click_batches (tenant_id, journal_seq) WHERE blocked > 0;

CREATE TABLE fraud_signals (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    stream BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
);

DO $$ BEGIN
    PERFORM build_wall(tenants_own(), 'intake_heads', 'intake', 'customers', 'sidecar', 'erased_events',
        'rollup_links', 'rollup_links_other', 'rollup_facts', 'rollup_facts_other', 'rollup_rules',
        'rollup_rules_other', 'rollup_refused', 'rollup_refused_other', 'click_batches', 'fraud_signals');
END $$;
