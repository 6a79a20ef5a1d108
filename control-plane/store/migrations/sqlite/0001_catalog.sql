-- SQLite. STRICT tables, so INTEGER stands where PostgreSQL will say BIGINT.
-- Times are Unix microseconds, money is minor units, hashes and derived ids are blobs.
-- Every tenant table has tenant_id first in its key; references never leave the tenant.

-- Dense numbers per tenant and list, handed out in the inserting transaction, hence in commit order: the
-- cursors of lists. Tenant 0 = the deployment.
CREATE TABLE sequences (
    tenant_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

-- The version of the snapshot: one row.
CREATE TABLE catalog_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO catalog_version (one, version) VALUES (1, 1);

CREATE TABLE tenants (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    fallback_url TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE click_keys (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    key_id INTEGER NOT NULL CHECK (key_id BETWEEN 0 AND 255),
    key BLOB NOT NULL CHECK (length(key) = 32),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key_id)
) STRICT;
CREATE UNIQUE INDEX click_keys_active ON click_keys (tenant_id) WHERE active = 1;

-- Found by secret before the tenant is known; NULL = an operator's key.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    tenant_id INTEGER REFERENCES tenants (id),
    name TEXT NOT NULL,
    secret_sha256 BLOB NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

-- The id is unique in the deployment, since pixel and postback URLs carry it alone.
CREATE TABLE advertisers (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    id INTEGER NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    postback_token_sha256 BLOB CHECK (length(postback_token_sha256) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
) STRICT;

CREATE TABLE programs (
    tenant_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    UNIQUE (tenant_id, id, advertiser_id),
    FOREIGN KEY (tenant_id, advertiser_id) REFERENCES advertisers (tenant_id, id)
) STRICT;

CREATE TABLE offers (
    tenant_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    program_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    destination TEXT NOT NULL,
    click_id_parameter TEXT NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    terms_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, program_id, advertiser_id) REFERENCES programs (tenant_id, id, advertiser_id)
) STRICT;

CREATE TABLE partners (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq)
) STRICT;

-- The id is unique in the deployment, since the click URL carries it alone.
CREATE TABLE links (
    tenant_id INTEGER NOT NULL,
    id INTEGER NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    offer_id INTEGER NOT NULL,
    partner_id INTEGER NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, seq),
    FOREIGN KEY (tenant_id, offer_id) REFERENCES offers (tenant_id, id),
    FOREIGN KEY (tenant_id, partner_id) REFERENCES partners (tenant_id, id)
) STRICT;

CREATE TABLE rule_sets (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    version INTEGER NOT NULL,
    body_json TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, version)
) STRICT, WITHOUT ROWID;
