-- What the money engine writes. A shard is (tenant_id, advertiser_id); advertiser 0 = settlement.

CREATE TABLE money_checkpoints (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    -- Intake items up to here have had their effect.
    ordinal INTEGER NOT NULL DEFAULT 0,
    ledger_sequence INTEGER NOT NULL DEFAULT 0,
    ledger_hash BLOB NOT NULL CHECK (length(ledger_hash) = 32),
    PRIMARY KEY (tenant_id, advertiser_id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES intake_heads (tenant_id, advertiser_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE terms (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    offer_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, offer_id, version),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    events TEXT NOT NULL,
    refused_pixels INTEGER NOT NULL,
    -- The intake item that last changed it.
    updated_ordinal INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, order_id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
) STRICT;

CREATE TABLE conversions (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    goal TEXT NOT NULL,
    event_id TEXT,
    authority INTEGER NOT NULL,
    amount_minor INTEGER,
    currency TEXT,
    amount_authority INTEGER,
    amount_source TEXT,
    customer BLOB,
    coupon TEXT,
    occurred_at INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    -- Of the winning click; NULL = nobody is credited.
    link_id INTEGER,
    offer_id INTEGER,
    partner_id INTEGER,
    decision TEXT NOT NULL,
    conflicts TEXT NOT NULL,
    more_conflicts INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    first_ordinal INTEGER NOT NULL,
    last_ordinal INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id, order_id) REFERENCES orders (tenant_id, advertiser_id, order_id)
) STRICT;
CREATE INDEX conversions_order ON conversions (tenant_id, order_id, seq);
CREATE INDEX conversions_conflicts ON conversions (tenant_id, seq) WHERE conflicts <> '[]';
CREATE INDEX conversions_hour ON conversions (tenant_id, hour, link_id);

CREATE TABLE commissions (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    conversion_id BLOB NOT NULL,
    order_id TEXT NOT NULL,
    partner_id INTEGER NOT NULL,
    offer_id INTEGER NOT NULL,
    terms_version INTEGER NOT NULL,
    -- Plan and hold, fixed when the conversion was credited.
    basis TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    hold_until INTEGER,
    approved_at INTEGER,
    statement_id BLOB,
    postings INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, conversion_id),
    FOREIGN KEY (tenant_id, conversion_id) REFERENCES conversions (tenant_id, id)
) STRICT;
CREATE INDEX commissions_order ON commissions (tenant_id, order_id, seq);
-- Read across tenants by the hold job.
CREATE INDEX commissions_due ON commissions (hold_until) WHERE status = 'pending' AND hold_until IS NOT NULL;

CREATE TABLE touches (
    tenant_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    customer BLOB NOT NULL CHECK (length(customer) = 16),
    position INTEGER NOT NULL,
    click TEXT NOT NULL,
    bound_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, advertiser_id, customer, position),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
) STRICT;

CREATE TABLE ledger_transactions (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    kind TEXT NOT NULL,
    currency TEXT NOT NULL,
    posted_at INTEGER NOT NULL,
    intake_ordinal INTEGER NOT NULL,
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, advertiser_id, sequence),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id, intake_ordinal)
        REFERENCES intake (tenant_id, advertiser_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_transactions_subject ON ledger_transactions (tenant_id, subject, seq);

-- Written before their transaction, which the database takes only if they balance (0005); the reference is
-- checked at commit.
CREATE TABLE ledger_entries (
    tenant_id INTEGER NOT NULL,
    transaction_id BLOB NOT NULL,
    line INTEGER NOT NULL,
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL CHECK (minor <> 0),
    PRIMARY KEY (tenant_id, transaction_id, line),
    FOREIGN KEY (tenant_id, transaction_id) REFERENCES ledger_transactions (tenant_id, id)
        DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_entries_account ON ledger_entries (tenant_id, account, currency, minor);

CREATE TABLE credits (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    commission_id BLOB NOT NULL CHECK (length(commission_id) = 16),
    advertiser_id INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    partner_id INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    credited_at INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    -- NULL = open: no statement has taken it up.
    statement_id BLOB,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers (tenant_id, id)
) STRICT;
CREATE INDEX credits_open ON credits (tenant_id) WHERE statement_id IS NULL;

-- What each partner's last statement carried over.
CREATE TABLE carried (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    partner_id INTEGER NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, partner_id, currency)
) STRICT, WITHOUT ROWID;

CREATE TABLE statements (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    partner_id INTEGER NOT NULL,
    currency TEXT NOT NULL,
    through INTEGER NOT NULL,
    opening_minor INTEGER NOT NULL,
    closing_minor INTEGER NOT NULL,
    payout_id BLOB,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, partner_id, currency, through)
) STRICT, WITHOUT ROWID;

CREATE TABLE statement_lines (
    tenant_id INTEGER NOT NULL,
    statement_id BLOB NOT NULL,
    line INTEGER NOT NULL,
    credit_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, statement_id, line),
    UNIQUE (tenant_id, credit_id),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES statements (tenant_id, id),
    FOREIGN KEY (tenant_id, credit_id) REFERENCES credits (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE payouts (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    statement_id BLOB NOT NULL,
    partner_id INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, statement_id) REFERENCES statements (tenant_id, id)
        DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    partner_id INTEGER NOT NULL,
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    order_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES money_checkpoints (tenant_id, advertiser_id)
) STRICT, WITHOUT ROWID;
