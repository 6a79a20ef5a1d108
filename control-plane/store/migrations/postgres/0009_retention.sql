-- Old days of the journal can be dropped (drop_days); what is left still verifies.

-- Where what is left of a stream begins: the last batch that was dropped of it.
CREATE TABLE journal_anchors (
    stream BIGINT PRIMARY KEY REFERENCES streams (stream),
    last_ordinal BIGINT NOT NULL,
    head_hash BYTEA NOT NULL CHECK (octet_length(head_hash) = 32),
    dropped_at BIGINT NOT NULL
);
DO $$ BEGIN
    PERFORM build_wall('(SELECT tenant_scope()) = -1', 'journal_anchors');
END $$;

-- Batches up to this number, all received before this time, were dropped.
ALTER TABLE journal_head
    ADD COLUMN dropped_through BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN dropped_before BIGINT NOT NULL DEFAULT 0;
