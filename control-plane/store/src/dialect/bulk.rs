//! Bulk sources and what else is written differently. Each source is one JSON array of arrays, one parameter
//! per batch: on SQLite twice the speed of a prepared insert per row, on PostgreSQL one round trip instead of
//! hundreds. Bytes travel as hex text.

use crate::aggregate::commission_columns;
use crate::sql::Sql;

pub(crate) const INSERT_INTAKE: Sql = Sql {
    sqlite: "
    INSERT INTO intake (tenant_id, advertiser_id, ordinal, recorded_at, kind, subject, customer,
        source_stream, source_ordinal, click_stream, click_ordinal, input)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, unhex(value ->> 6),
        value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
    FROM json_each($1) ORDER BY key",
    postgres: "
    INSERT INTO intake (tenant_id, advertiser_id, ordinal, recorded_at, kind, subject, customer,
        source_stream, source_ordinal, click_stream, click_ordinal, input)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, v ->> 4, v ->> 5,
        decode(v ->> 6, 'hex'), (v ->> 7)::bigint, (v ->> 8)::bigint, (v ->> 9)::bigint, (v ->> 10)::bigint,
        v ->> 11
    FROM jsonb_array_elements($1::text::jsonb) v",
};

/// Rows: tenant, hour, kind, link, offer, partner, advertiser, verdict, hits, unique hits. Here and in the other roll-ups, what names
/// an unknown tenant is left out.
pub(crate) const FOLD_LINKS: Sql = Sql {
    sqlite: "
    INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict, hits,
        unique_hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
        value ->> 8, value ->> 9
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO UPDATE SET hits = rollup_links.hits + excluded.hits,
        unique_hits = rollup_links.unique_hits + excluded.unique_hits",
    postgres: "
    INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict, hits,
        unique_hits)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, (v ->> 4)::bigint,
        (v ->> 5)::bigint, (v ->> 6)::bigint, (v ->> 7)::bigint, (v ->> 8)::bigint, (v ->> 9)::bigint
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)
    ON CONFLICT (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id, verdict)
    DO UPDATE SET hits = rollup_links.hits + excluded.hits,
        unique_hits = rollup_links.unique_hits + excluded.unique_hits",
};

/// Rows: tenant, hour, kind, country, device, verdict, hits.
pub(crate) const FOLD_FACTS: Sql = Sql {
    sqlite: "
    INSERT INTO rollup_facts (tenant_id, hour, kind, country, device, verdict, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO UPDATE SET hits = rollup_facts.hits + excluded.hits",
    postgres: "
    INSERT INTO rollup_facts (tenant_id, hour, kind, country, device, verdict, hits)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, v ->> 3, (v ->> 4)::bigint,
        (v ->> 5)::bigint, (v ->> 6)::bigint
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)
    ON CONFLICT (tenant_id, hour, kind, country, device, verdict)
    DO UPDATE SET hits = rollup_facts.hits + excluded.hits",
};

/// Rows: tenant, hour, kind, rule set version, rule, verdict, hits.
pub(crate) const FOLD_RULES: Sql = Sql {
    sqlite: "
    INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO UPDATE SET hits = rollup_rules.hits + excluded.hits",
    postgres: "
    INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, hits)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, v ->> 4,
        (v ->> 5)::bigint, (v ->> 6)::bigint
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)
    ON CONFLICT (tenant_id, hour, kind, rule_set_version, rule_id, verdict)
    DO UPDATE SET hits = rollup_rules.hits + excluded.hits",
};

/// Rows: tenant, clicks that were allowed, flagged, blocked; $2 the batch.
pub(crate) const INSERT_CLICK_BATCHES: Sql = Sql {
    sqlite: "
    INSERT INTO click_batches (tenant_id, journal_seq, allowed, flagged, blocked)
    SELECT value ->> 0, $2, value ->> 1, value ->> 2, value ->> 3
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)",
    postgres: "
    INSERT INTO click_batches (tenant_id, journal_seq, allowed, flagged, blocked)
    SELECT (v ->> 0)::bigint, $2, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)",
};

/// Rows: tenant, hour, advertiser, reason, hits.
pub(crate) const FOLD_REFUSED: Sql = Sql {
    sqlite: "
    INSERT INTO rollup_refused (tenant_id, hour, advertiser_id, reason, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO UPDATE SET hits = rollup_refused.hits + excluded.hits",
    postgres: "
    INSERT INTO rollup_refused (tenant_id, hour, advertiser_id, reason, hits)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, (v ->> 4)::bigint
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)
    ON CONFLICT (tenant_id, hour, advertiser_id, reason)
    DO UPDATE SET hits = rollup_refused.hits + excluded.hits",
};

/// Rows: tenant, stream, ordinal, class, salt, value, customer. A value that is there already stays; one of
/// an erased event, or of a customer who is not known any more, is dropped.
pub(crate) const INSERT_SIDECAR: Sql = Sql {
    sqlite: "
    INSERT INTO sidecar (tenant_id, stream, ordinal, class, salt, value, customer)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4), unhex(value ->> 5),
        unhex(value ->> 6)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants) AND NOT EXISTS (
        SELECT 1 FROM erased_events e WHERE e.tenant_id = value ->> 0 AND e.stream = value ->> 1
            AND e.ordinal = value ->> 2)
        AND (value ->> 6 IS NULL OR EXISTS (SELECT 1 FROM customers c
            WHERE c.tenant_id = value ->> 0 AND c.customer = unhex(value ->> 6)))
    ON CONFLICT DO NOTHING",
    postgres: "
    INSERT INTO sidecar (tenant_id, stream, ordinal, class, salt, value, customer)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, decode(v ->> 4, 'hex'),
        decode(v ->> 5, 'hex'), decode(v ->> 6, 'hex')
    FROM jsonb_array_elements($1::text::jsonb) v
    WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants) AND NOT EXISTS (
        SELECT 1 FROM erased_events e WHERE e.tenant_id = (v ->> 0)::bigint
            AND e.stream = (v ->> 1)::bigint AND e.ordinal = (v ->> 2)::bigint)
        AND (v ->> 6 IS NULL OR EXISTS (SELECT 1 FROM customers c
            WHERE c.tenant_id = (v ->> 0)::bigint AND c.customer = decode(v ->> 6, 'hex')))
    ON CONFLICT DO NOTHING",
};

/// Rows: tenant, stream, first ordinal, last ordinal, how many values, where their bytes begin in $2 (from 1), and how
/// many bytes. In one piece, since hex would double them.
pub(crate) const INSERT_PACKED: Sql = Sql {
    sqlite: "
    INSERT INTO sidecar_batches (tenant_id, stream, first_ordinal, last_ordinal, held, packed)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, substr($2, value ->> 5, value ->> 6)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO NOTHING",
    postgres: "
    INSERT INTO sidecar_batches (tenant_id, stream, first_ordinal, last_ordinal, held, packed)
    SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, (v ->> 4)::bigint,
        substr($2, (v ->> 5)::int, (v ->> 6)::int)
    FROM jsonb_array_elements($1::text::jsonb) v WHERE (v ->> 0)::bigint IN (SELECT id FROM tenants)
    ON CONFLICT DO NOTHING",
};

/// Rows: tenant, stream, first ordinal, last ordinal.
pub(crate) const ERASED_WITHIN: Sql = Sql {
    sqlite: "
    SELECT e.tenant_id, e.stream, e.ordinal FROM json_each($1)
    JOIN erased_events e ON e.tenant_id = value ->> 0 AND e.stream = value ->> 1
        AND e.ordinal BETWEEN value ->> 2 AND value ->> 3",
    postgres: "
    SELECT e.tenant_id, e.stream, e.ordinal FROM jsonb_array_elements($1::text::jsonb) v
    JOIN erased_events e ON e.tenant_id = (v ->> 0)::bigint AND e.stream = (v ->> 1)::bigint
        AND e.ordinal BETWEEN (v ->> 2)::bigint AND (v ->> 3)::bigint",
};

/// $1 tenant, $2 advertiser, $3 a list of offers.
pub(crate) const TERMS_OF: Sql = Sql {
    sqlite: "
    SELECT body FROM terms WHERE tenant_id = $1 AND advertiser_id = $2
        AND offer_id IN (SELECT value FROM json_each($3)) ORDER BY offer_id, version",
    postgres: "
    SELECT body FROM terms WHERE tenant_id = $1 AND advertiser_id = $2
        AND offer_id IN (SELECT v::bigint FROM jsonb_array_elements_text($3::text::jsonb) v)
        ORDER BY offer_id, version",
};

/// $1 tenant, $2 a list of conversion ids in hex.
pub(crate) const COMMISSIONS_OF: Sql = Sql {
    sqlite: concat!(
        "SELECT ",
        commission_columns!(),
        " FROM commissions m WHERE m.tenant_id = $1
            AND m.conversion_id IN (SELECT unhex(value) FROM json_each($2))"
    ),
    postgres: concat!(
        "SELECT ",
        commission_columns!(),
        " FROM commissions m WHERE m.tenant_id = $1
            AND m.conversion_id IN (SELECT decode(v, 'hex') FROM jsonb_array_elements_text($2::text::jsonb) v)"
    ),
};

/// $1 tenant; rows: stream, ordinal. The blobs that may hold their values.
pub(crate) const COVERING: Sql = Sql {
    sqlite: "
    SELECT DISTINCT b.stream, b.first_ordinal FROM json_each($2)
    JOIN sidecar_batches b ON b.tenant_id = $1 AND b.stream = value ->> 0 AND b.first_ordinal = (
        SELECT c.first_ordinal FROM sidecar_batches c
        WHERE c.tenant_id = $1 AND c.stream = value ->> 0 AND c.first_ordinal <= value ->> 1
        ORDER BY c.first_ordinal DESC LIMIT 1)
    WHERE b.last_ordinal >= value ->> 1",
    postgres: "
    SELECT DISTINCT b.stream, b.first_ordinal FROM jsonb_array_elements($2::text::jsonb) v
    CROSS JOIN LATERAL (
        SELECT b.stream, b.first_ordinal, b.last_ordinal FROM sidecar_batches b
        WHERE b.tenant_id = $1 AND b.stream = (v ->> 0)::bigint AND b.first_ordinal <= (v ->> 1)::bigint
        ORDER BY b.first_ordinal DESC LIMIT 1) b
    WHERE b.last_ordinal >= (v ->> 1)::bigint",
};

/// $1 tenant; rows: stream, ordinal.
pub(crate) const MARK_SCRUBBED: Sql = Sql {
    sqlite: "
    UPDATE erased_events SET scrubbed = true WHERE tenant_id = $1 AND NOT scrubbed
        AND (stream, ordinal) IN (SELECT value ->> 0, value ->> 1 FROM json_each($2))",
    postgres: "
    UPDATE erased_events SET scrubbed = true WHERE tenant_id = $1 AND NOT scrubbed AND (stream, ordinal) IN (
        SELECT (v ->> 0)::bigint, (v ->> 1)::bigint FROM jsonb_array_elements($2::text::jsonb) v)",
};

/// Rows: tenant, pseudonym. Which of them nobody has any more.
pub(crate) const FORGOTTEN_CUSTOMERS: Sql = Sql {
    sqlite: "
    SELECT t.id AS tenant_id, unhex(value ->> 1) AS customer
    FROM json_each($1) JOIN tenants t ON t.id = value ->> 0
    WHERE NOT EXISTS (
        SELECT 1 FROM customers c WHERE c.tenant_id = t.id AND c.customer = unhex(value ->> 1))",
    postgres: "
    SELECT t.id AS tenant_id, decode(v ->> 1, 'hex') AS customer
    FROM jsonb_array_elements($1::text::jsonb) v JOIN tenants t ON t.id = (v ->> 0)::bigint
    WHERE NOT EXISTS (
        SELECT 1 FROM customers c WHERE c.tenant_id = t.id AND c.customer = decode(v ->> 1, 'hex'))",
};

/// Rows: tenant, advertiser, order. Whose orders they are, as far as nobody has that pseudonym any more.
pub(crate) const FORGOTTEN_BY_ORDER: Sql = Sql {
    sqlite: "
    SELECT DISTINCT i.tenant_id, i.customer
    FROM json_each($1) JOIN intake i ON i.tenant_id = value ->> 0 AND i.advertiser_id = value ->> 1
        AND i.subject = value ->> 2 AND i.kind = 'conversion'
    WHERE i.customer IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM customers c WHERE c.tenant_id = i.tenant_id AND c.customer = i.customer)",
    postgres: "
    SELECT DISTINCT i.tenant_id, i.customer
    FROM jsonb_array_elements($1::text::jsonb) v JOIN intake i ON i.tenant_id = (v ->> 0)::bigint
        AND i.advertiser_id = (v ->> 1)::bigint AND i.subject = v ->> 2 AND i.kind = 'conversion'
    WHERE i.customer IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM customers c WHERE c.tenant_id = i.tenant_id AND c.customer = i.customer)",
};

/// Rows: tenant, advertiser. Which of them are shards.
pub(crate) const KNOWN_SHARDS: Sql = Sql {
    sqlite: "
    SELECT tenant_id, advertiser_id FROM intake_heads
    JOIN json_each($1) ON tenant_id = value ->> 0 AND advertiser_id = value ->> 1",
    postgres: "
    SELECT tenant_id, advertiser_id FROM intake_heads JOIN jsonb_array_elements($1::text::jsonb) v
    ON tenant_id = (v ->> 0)::bigint AND advertiser_id = (v ->> 1)::bigint",
};

/// Rows: tenant, link.
pub(crate) const LINK_TARGETS: Sql = Sql {
    sqlite: "
    SELECT l.tenant_id, l.id, l.offer_id, l.partner_id, o.program_id, o.advertiser_id FROM json_each($1)
    JOIN links l ON l.tenant_id = value ->> 0 AND l.id = value ->> 1
    JOIN offers o ON o.tenant_id = l.tenant_id AND o.id = l.offer_id",
    postgres: "
    SELECT l.tenant_id, l.id, l.offer_id, l.partner_id, o.program_id, o.advertiser_id
    FROM jsonb_array_elements($1::text::jsonb) v
    JOIN links l ON l.tenant_id = (v ->> 0)::bigint AND l.id = (v ->> 1)::bigint
    JOIN offers o ON o.tenant_id = l.tenant_id AND o.id = l.offer_id",
};

/// $1 tenant, $2 advertiser, $3 order, $4 goal, $5 event id or NULL, $6 limit. Each row says how many there are.
pub(crate) const REPORTS_OF: Sql = Sql {
    sqlite: "
    SELECT ordinal, recorded_at, input, count(*) OVER () AS reports FROM intake
    WHERE tenant_id = $1 AND advertiser_id = $2 AND subject = $3 AND kind = 'conversion'
        AND input ->> '$.goal' = $4 AND input ->> '$.event_id' IS NOT DISTINCT FROM $5
    ORDER BY ordinal LIMIT $6",
    postgres: "
    SELECT ordinal, recorded_at, input, count(*) OVER () AS reports FROM intake
    WHERE tenant_id = $1 AND advertiser_id = $2 AND subject = $3 AND kind = 'conversion'
        AND input::jsonb ->> 'goal' = $4 AND input::jsonb ->> 'event_id' IS NOT DISTINCT FROM $5
    ORDER BY ordinal LIMIT $6",
};

/// $1 tenant, $2 transaction, $3 currency; rows: account, minor. In the order of the lines.
pub(crate) const INSERT_ENTRIES: Sql = Sql {
    sqlite: "
    INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor)
    SELECT $1, $2, key, value ->> 0, $3, value ->> 1 FROM json_each($4)",
    postgres: "
    INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor)
    SELECT $1, $2, line - 1, v ->> 0, $3, (v ->> 1)::bigint
    FROM jsonb_array_elements($4::text::jsonb) WITH ORDINALITY rows (v, line)",
};

/// $1 tenant; $2 ids of transactions.
pub(crate) const ENTRIES_OF: Sql = Sql {
    sqlite: "
    SELECT transaction_id, account, minor FROM ledger_entries
    WHERE tenant_id = $1 AND transaction_id IN (SELECT unhex(value) FROM json_each($2))
    ORDER BY transaction_id, line",
    postgres: "
    SELECT transaction_id, account, minor FROM ledger_entries
    WHERE tenant_id = $1
        AND transaction_id = ANY (ARRAY(SELECT decode(v, 'hex') FROM jsonb_array_elements_text($2::text::jsonb) v))
    ORDER BY transaction_id, line",
};

/// $1 tenant, $2 statement; $3 ids of credits. In the order of the lines.
pub(crate) const INSERT_LINES: Sql = Sql {
    sqlite: "
    INSERT INTO statement_lines (tenant_id, statement_id, line, credit_id)
    SELECT $1, $2, key, unhex(value) FROM json_each($3)",
    postgres: "
    INSERT INTO statement_lines (tenant_id, statement_id, line, credit_id)
    SELECT $1, $2, line - 1, decode(v, 'hex')
    FROM jsonb_array_elements_text($3::text::jsonb) WITH ORDINALITY rows (v, line)",
};

/// $1 tenant, $2 statement; $3 ids of credits that must still be open.
pub(crate) const TAKE_CREDITS: Sql = Sql {
    sqlite: "
    UPDATE credits SET statement_id = $2
    WHERE tenant_id = $1 AND statement_id IS NULL AND id IN (SELECT unhex(value) FROM json_each($3))",
    postgres: "
    UPDATE credits SET statement_id = $2 WHERE tenant_id = $1 AND statement_id IS NULL
        AND id IN (SELECT decode(v, 'hex') FROM jsonb_array_elements_text($3::text::jsonb) v)",
};

/// $1 tenant; rows: stream, ordinal.
pub(crate) const INSERT_ERASED: Sql = Sql {
    sqlite: "
    INSERT INTO erased_events (tenant_id, stream, ordinal, scrubbed)
    SELECT $1, value ->> 0, value ->> 1, true FROM json_each($2) WHERE true ON CONFLICT DO NOTHING",
    postgres: "
    INSERT INTO erased_events (tenant_id, stream, ordinal, scrubbed)
    SELECT $1, (v ->> 0)::bigint, (v ->> 1)::bigint, true FROM jsonb_array_elements($2::text::jsonb) v
    ON CONFLICT DO NOTHING",
};

/// $1 tenant; rows: stream, ordinal.
pub(crate) const ERASE_VALUES: Sql = Sql {
    sqlite: "
    DELETE FROM sidecar WHERE tenant_id = $1
        AND (stream, ordinal) IN (SELECT value ->> 0, value ->> 1 FROM json_each($2))",
    postgres: "
    DELETE FROM sidecar WHERE tenant_id = $1 AND (stream, ordinal) IN (
        SELECT (v ->> 0)::bigint, (v ->> 1)::bigint FROM jsonb_array_elements($2::text::jsonb) v)",
};

/// Microseconds since 1970.
pub(crate) const DATABASE_TIME: Sql = Sql {
    sqlite: "SELECT CAST(unixepoch('subsec') * 1000000 AS BIGINT) AS now",
    postgres: "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now",
};
