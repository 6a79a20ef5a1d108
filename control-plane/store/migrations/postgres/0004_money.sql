-- What the money engine writes. A shard is (tenant_id, advertiser_id); advertiser 0 = settlement.

CREATE TABLE money_checkpoints (
    tenant_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    -- Intake items up to here have had their effect.
    ordinal BIGINT NOT NULL DEFAULT 0,
    ledger_sequence BIGINT NOT NULL DEFAULT 0,
    ledger_hash BYTEA NOT NULL CHECK (octet_length(ledger_hash) = 32),
    PRIMARY KEY (tenant_id, advertiser_id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES intake_heads (tenant_id, advertiser_id)
) WITH (fillfactor = 50);

CREATE TABLE terms (
    tenant_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    offer_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    valid_from BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, offer_id, version),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
);

CREATE TABLE orders (
    tenant_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    events TEXT COLLATE "C" NOT NULL,
    refused_pixels BIGINT NOT NULL,
    -- The intake item that last changed it.
    updated_ordinal BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, order_id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
);

CREATE TABLE conversions (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    goal TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C",
    authority BIGINT NOT NULL,
    amount_minor BIGINT,
    currency TEXT COLLATE "C",
    amount_authority BIGINT,
    amount_source TEXT COLLATE "C",
    customer BYTEA,
    coupon TEXT COLLATE "C",
    occurred_at BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    -- Of the winning click; NULL = nobody is credited.
    link_id BIGINT,
    offer_id BIGINT,
    partner_id BIGINT,
    decision TEXT COLLATE "C" NOT NULL,
    conflicts TEXT COLLATE "C" NOT NULL,
    more_conflicts BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    first_ordinal BIGINT NOT NULL,
    last_ordinal BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id, order_id) REFERENCES orders (tenant_id, advertiser_id, order_id)
);
CREATE INDEX conversions_order ON conversions (tenant_id, order_id, seq);
CREATE INDEX conversions_conflicts ON conversions (tenant_id, seq) WHERE conflicts <> '[]';
CREATE INDEX conversions_hour ON conversions (tenant_id, hour, link_id);

CREATE TABLE commissions (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    conversion_id BYTEA NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    partner_id BIGINT NOT NULL,
    offer_id BIGINT NOT NULL,
    terms_version BIGINT NOT NULL,
    -- Plan and hold, fixed when the conversion was credited.
    basis TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    hold_until BIGINT,
    approved_at BIGINT,
    statement_id BYTEA,
    postings BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, conversion_id),
    FOREIGN KEY (tenant_id, conversion_id) REFERENCES conversions (tenant_id, id)
);
CREATE INDEX commissions_order ON commissions (tenant_id, order_id, seq);
-- Read across tenants by the hold job.
CREATE INDEX commissions_due ON commissions (hold_until) WHERE status = 'pending' AND hold_until IS NOT NULL;

CREATE TABLE touches (
    tenant_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    customer BYTEA NOT NULL CHECK (octet_length(customer) = 16),
    position BIGINT NOT NULL,
    click TEXT COLLATE "C" NOT NULL,
    bound_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, customer, position),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
);

CREATE TABLE ledger_transactions (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    kind TEXT COLLATE "C" NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    posted_at BIGINT NOT NULL,
    intake_ordinal BIGINT NOT NULL,
    subject BYTEA NOT NULL CHECK (octet_length(subject) = 16),
    prev_hash BYTEA NOT NULL CHECK (octet_length(prev_hash) = 32),
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, advertiser_id, sequence),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id, intake_ordinal)
        REFERENCES intake (tenant_id, advertiser_id, ordinal)
);
CREATE INDEX ledger_transactions_subject ON ledger_transactions (tenant_id, subject, seq);

-- Written before their transaction, which the database takes only if they balance (0005); the reference is
-- checked at commit.
CREATE TABLE ledger_entries (
    tenant_id BIGINT NOT NULL,
    transaction_id BYTEA NOT NULL,
    line BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    minor BIGINT NOT NULL CHECK (minor <> 0),
    PRIMARY KEY (tenant_id, transaction_id, line),
    FOREIGN KEY (tenant_id, transaction_id) REFERENCES ledger_transactions (tenant_id, id)
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ledger_entries_account ON ledger_entries (tenant_id, account, currency, minor);

CREATE TABLE credits (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    commission_id BYTEA NOT NULL CHECK (octet_length(commission_id) = 16),
    advertiser_id BIGINT NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    partner_id BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    credited_at BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    -- NULL = open: no statement has taken it up.
    statement_id BYTEA,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers (tenant_id, id)
);
CREATE INDEX credits_open ON credits (tenant_id) WHERE statement_id IS NULL;

-- What each partner's last statement carried over.
CREATE TABLE carried (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    partner_id BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    minor BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, partner_id, currency)
);

CREATE TABLE statements (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    partner_id BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    through BIGINT NOT NULL,
    opening_minor BIGINT NOT NULL,
    closing_minor BIGINT NOT NULL,
    payout_id BYTEA,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, partner_id, currency, through)
);

CREATE TABLE statement_lines (
    tenant_id BIGINT NOT NULL,
    statement_id BYTEA NOT NULL,
    line BIGINT NOT NULL,
    credit_id BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, statement_id, line),
    UNIQUE (tenant_id, credit_id),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES statements (tenant_id, id),
    FOREIGN KEY (tenant_id, credit_id) REFERENCES credits (tenant_id, id)
);

CREATE TABLE payouts (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    statement_id BYTEA NOT NULL,
    partner_id BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES statements (tenant_id, id)
        DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE outbox (
    tenant_id BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    seq BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    partner_id BIGINT NOT NULL,
    subject BYTEA NOT NULL CHECK (octet_length(subject) = 16),
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
);

DO $$ BEGIN
    PERFORM build_wall(tenants_own(), 'money_checkpoints', 'terms', 'orders', 'conversions', 'commissions',
        'touches', 'ledger_transactions', 'ledger_entries', 'credits', 'carried', 'statements',
        'statement_lines', 'payouts', 'outbox');
END $$;
