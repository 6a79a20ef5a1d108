-- What each stream has lost (stream_gaps), kept beside its head: whoever asks need not count. A trigger does it, since a
-- version that does not know these columns may still take gaps while a deploy rolls.
ALTER TABLE streams ADD COLUMN gaps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN lost_ordinals INTEGER NOT NULL DEFAULT 0;

UPDATE streams SET
    gaps = (SELECT count(*) FROM stream_gaps g WHERE g.stream = streams.stream),
    lost_ordinals = (SELECT coalesce(sum(g.last_ordinal - g.first_ordinal + 1), 0) FROM stream_gaps g
        WHERE g.stream = streams.stream);

CREATE TRIGGER stream_gaps_counted AFTER INSERT ON stream_gaps BEGIN
    UPDATE streams SET gaps = gaps + 1, lost_ordinals = lost_ordinals + NEW.last_ordinal - NEW.first_ordinal + 1
        WHERE stream = NEW.stream;
END;

-- A conversion's credit can be in parts, each a commission of its own (src/aggregate/commissions.rs). SQLite cannot drop
-- the rule that there is one for each conversion: the table is made anew.
CREATE TABLE commissions_in_parts (
    tenant_id INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    conversion_id BLOB NOT NULL,
    order_id TEXT NOT NULL,
    -- `whole`, or `share`: what its partner has for clicks of its offer.
    part TEXT NOT NULL DEFAULT 'whole',
    -- In millionths; 0 = it is credited no more.
    share INTEGER NOT NULL DEFAULT 1000000 CHECK (share BETWEEN 0 AND 1000000),
    partner_id INTEGER NOT NULL,
    offer_id INTEGER NOT NULL,
    terms_version INTEGER NOT NULL,
    -- Plan and hold, fixed when the conversion was credited.
    basis TEXT NOT NULL,
    -- Of a share; that of a whole stands in the conversion's decision.
    arithmetic TEXT,
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
    FOREIGN KEY (tenant_id, conversion_id) REFERENCES conversions (tenant_id, id)
) STRICT;
INSERT INTO commissions_in_parts (tenant_id, id, seq, advertiser_id, conversion_id, order_id, partner_id, offer_id,
    terms_version, basis, amount_minor, currency, status, reason, hold_until, approved_at, statement_id, postings,
    recorded_at, updated_at)
SELECT tenant_id, id, seq, advertiser_id, conversion_id, order_id, partner_id, offer_id, terms_version, basis,
    amount_minor, currency, status, reason, hold_until, approved_at, statement_id, postings, recorded_at, updated_at
FROM commissions;
DROP TABLE commissions;
ALTER TABLE commissions_in_parts RENAME TO commissions;
CREATE INDEX commissions_order ON commissions (tenant_id, order_id, seq);
CREATE INDEX commissions_conversion ON commissions (tenant_id, conversion_id);
CREATE UNIQUE INDEX commissions_whole ON commissions (tenant_id, conversion_id) WHERE part = 'whole';
-- Read across tenants by the hold job.
CREATE INDEX commissions_due ON commissions (hold_until) WHERE status = 'pending' AND hold_until IS NOT NULL;
