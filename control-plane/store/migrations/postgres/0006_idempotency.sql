-- A call that moves money names its own key; a retry finds what the first one did.
CREATE TABLE idempotency_keys (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    key TEXT COLLATE "C" NOT NULL,
    advertiser_id BIGINT NOT NULL,
    ordinal BIGINT NOT NULL,
    request_sha256 BYTEA NOT NULL CHECK (octet_length(request_sha256) = 32),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, advertiser_id, ordinal) REFERENCES intake (tenant_id, advertiser_id, ordinal)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (tenant_id, created_at);

DO $$ BEGIN
    PERFORM build_wall(tenants_own(), 'idempotency_keys');
END $$;
