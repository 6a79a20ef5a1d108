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
