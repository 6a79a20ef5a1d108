-- PostgreSQL. The same tables as on SQLite, read and written with the same texts.
-- Times are Unix microseconds, money is minor units, hashes and derived ids are bytes. Text is ordered byte
-- by byte (collation C), as SQLite does, so that lists and folds come out the same on both.
-- Every tenant table has tenant_id first in its key; references never leave the tenant.

-- Whose rows may be seen: a tenant's number, -1 = the deployment's (all), nothing set = none.
CREATE FUNCTION tenant_scope() RETURNS BIGINT LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tributary.tenant', true), '')::bigint;

-- A second wall between tenants, behind the conditions in the statements: rows that do not meet the rule
-- are neither seen nor written, not even by the owner of the tables. The scope stands in a subquery, which
-- runs once per statement and not once per row.
CREATE FUNCTION build_wall(rule TEXT, VARIADIC walled TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY walled LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_wall ON %I FOR ALL USING (%s) WITH CHECK (%2$s)', name, rule);
    END LOOP;
END $$;

-- The rule of a table whose rows belong to the tenant in this column.
CREATE FUNCTION tenants_own(owner TEXT DEFAULT 'tenant_id') RETURNS TEXT LANGUAGE sql IMMUTABLE
    RETURN format('%I = (SELECT tenant_scope()) OR (SELECT tenant_scope()) = -1', owner);

-- A function finds what it names in the schema that it was made in, whoever calls it.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION build_wall SET search_path = %I, pg_temp', current_schema());
END $$;

-- Dense numbers per tenant and list, handed out in the inserting transaction, hence in commit order: the
-- cursors of lists. Tenant 0 = the deployment.
-- Half of each page is left free, here and wherever a few rows change all the time: the new version then fits
-- beside the old one and no index has to follow.
CREATE TABLE sequences (
    tenant_id BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) WITH (fillfactor = 50);

-- The version of the snapshot: one row.
CREATE TABLE catalog_version (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
) WITH (fillfactor = 50);
INSERT INTO catalog_version (one, version) VALUES (1, 1);

CREATE TABLE tenants (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    fallback_url TEXT COLLATE "C",
    created_at BIGINT NOT NULL
);

CREATE TABLE click_keys (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    key_id BIGINT NOT NULL CHECK (key_id BETWEEN 0 AND 255),
    key BYTEA NOT NULL CHECK (octet_length(key) = 32),
    active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key_id)
);
CREATE UNIQUE INDEX click_keys_active ON click_keys (tenant_id) WHERE active;

-- Found by secret before the tenant is known; NULL = an operator's key.
CREATE TABLE api_keys (
    id BIGINT PRIMARY KEY,
    tenant_id BIGINT REFERENCES tenants (id),
    name TEXT COLLATE "C" NOT NULL,
    secret_sha256 BYTEA NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    revoked BOOLEAN NOT NULL DEFAULT false,
    created_at BIGINT NOT NULL
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

-- The id is unique in the deployment, since pixel and postback URLs carry it alone.
CREATE TABLE advertisers (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id BIGINT NOT NULL UNIQUE,
    seq BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    postback_token_sha256 BYTEA CHECK (octet_length(postback_token_sha256) = 32),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
);

CREATE TABLE programs (
    tenant_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, id, advertiser_id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers (tenant_id, id)
);

CREATE TABLE offers (
    tenant_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    program_id BIGINT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    destination TEXT COLLATE "C" NOT NULL,
    click_id_parameter TEXT COLLATE "C" NOT NULL,
    active BOOLEAN NOT NULL,
    terms_version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, program_id, advertiser_id) REFERENCES programs (tenant_id, id, advertiser_id)
);

CREATE TABLE partners (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
);

-- The id is unique in the deployment, since the click URL carries it alone.
CREATE TABLE links (
    tenant_id BIGINT NOT NULL,
    id BIGINT NOT NULL UNIQUE,
    seq BIGINT NOT NULL,
    offer_id BIGINT NOT NULL,
    partner_id BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, offer_id) REFERENCES offers (tenant_id, id),
    FOREIGN KEY (tenant_id, partner_id) REFERENCES partners (tenant_id, id)
);

CREATE TABLE rule_sets (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    version BIGINT NOT NULL,
    body_json TEXT COLLATE "C" NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

DO $$ BEGIN
    PERFORM build_wall(tenants_own(), 'click_keys', 'api_keys', 'advertisers', 'programs', 'offers',
        'partners', 'links', 'rule_sets');
    PERFORM build_wall(tenants_own('id'), 'tenants');
    -- The deployment's numbers are no tenant's.
    PERFORM build_wall(
        'tenant_id = nullif((SELECT tenant_scope()), 0) OR (SELECT tenant_scope()) = -1', 'sequences');
    -- Every catalog write raises the version, whoever's it is.
    PERFORM build_wall('(SELECT tenant_scope()) IS NOT NULL', 'catalog_version');
END $$;
