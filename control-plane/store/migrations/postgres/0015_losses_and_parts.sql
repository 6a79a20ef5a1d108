-- What each stream has lost (stream_gaps), kept beside its head: whoever asks need not count. A trigger does it, since a
-- version that does not know these columns may still take gaps while a deploy rolls.
ALTER TABLE streams
    ADD COLUMN gaps BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN lost_ordinals BIGINT NOT NULL DEFAULT 0;

CREATE FUNCTION stream_gaps_counted() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
    UPDATE streams SET gaps = gaps + 1, lost_ordinals = lost_ordinals + NEW.last_ordinal - NEW.first_ordinal + 1
        WHERE stream = NEW.stream;
    RETURN NULL;
END $$;
CREATE TRIGGER stream_gaps_counted AFTER INSERT ON stream_gaps
FOR EACH ROW EXECUTE FUNCTION stream_gaps_counted();
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION stream_gaps_counted SET search_path = %I, pg_temp', current_schema());
END $$;

-- The walls hide the fleet's rows from their owner, too.
SELECT set_config('tributary.tenant', '-1', true);
UPDATE streams s SET gaps = g.gaps, lost_ordinals = g.ordinals
FROM (
    SELECT stream, count(*) AS gaps, sum(last_ordinal - first_ordinal + 1)::BIGINT AS ordinals
    FROM stream_gaps GROUP BY stream
) g
WHERE s.stream = g.stream;

-- A conversion's credit can be in parts, each a commission of its own (src/aggregate/commissions.rs).
ALTER TABLE commissions
    -- `whole`, or `share`: what its partner has for clicks of its offer.
    ADD COLUMN part TEXT COLLATE "C" NOT NULL DEFAULT 'whole',
    -- In millionths; 0 = it is credited no more.
    ADD COLUMN share BIGINT NOT NULL DEFAULT 1000000 CHECK (share BETWEEN 0 AND 1000000),
    -- Of a share; that of a whole stands in the conversion's decision.
    ADD COLUMN arithmetic TEXT COLLATE "C",
    DROP CONSTRAINT commissions_tenant_id_conversion_id_key;
CREATE INDEX commissions_conversion ON commissions (tenant_id, conversion_id);
CREATE UNIQUE INDEX commissions_whole ON commissions (tenant_id, conversion_id) WHERE part = 'whole';
