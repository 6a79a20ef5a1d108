-- A call that moves money names its own key; a retry finds what the first one did.
CREATE TABLE idempotency_keys (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    key TEXT NOT NULL,
    advertiser_id INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, advertiser_id, ordinal) REFERENCES intake (tenant_id, advertiser_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (tenant_id, created_at);
