-- Hits of visitors that are new to an offer, among `hits`. A version before this one adds to `hits` alone.
ALTER TABLE rollup_links ADD COLUMN unique_hits BIGINT NOT NULL DEFAULT 0;

-- == Click caps: the budget of each window, and what edges hold of it (src/click_leases.rs). ==

-- Whose clicks are counted: subject_kind 1 = an offer, 2 = a link. window_start 0 = for as long as it lives.
CREATE TABLE click_budgets (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    subject_kind BIGINT NOT NULL CHECK (subject_kind IN (1, 2)),
    subject_id BIGINT NOT NULL,
    window_start BIGINT NOT NULL,
    -- Clicks that edges have reported. What they hold is the sum of the leases that are open.
    used BIGINT NOT NULL CHECK (used >= 0),
    PRIMARY KEY (tenant_id, subject_kind, subject_id, window_start)
);
CREATE INDEX click_budgets_window ON click_budgets (window_start);

CREATE TABLE click_leases (
    tenant_id BIGINT NOT NULL REFERENCES tenants (id),
    edge_id BIGINT NOT NULL REFERENCES edges (id),
    -- Drawn by the edge, so that asking again gives the same lease.
    number BIGINT NOT NULL,
    subject_kind BIGINT NOT NULL,
    subject_id BIGINT NOT NULL,
    window_start BIGINT NOT NULL,
    granted BIGINT NOT NULL CHECK (granted >= 0),
    expires_at BIGINT NOT NULL,
    -- NULL = not reported on: open until it expires.
    spent BIGINT CHECK (spent >= 0),
    PRIMARY KEY (tenant_id, edge_id, number)
);
CREATE INDEX click_leases_open ON click_leases (tenant_id, subject_kind, subject_id, window_start) WHERE spent IS NULL;
CREATE INDEX click_leases_over ON click_leases (expires_at);

DO $$ BEGIN
    PERFORM build_wall(tenants_own(), 'click_budgets', 'click_leases');
END $$;
