-- Hits of visitors that are new to an offer, among `hits`. A version before this one adds to `hits` alone.
ALTER TABLE rollup_links ADD COLUMN unique_hits INTEGER NOT NULL DEFAULT 0;

-- == Click caps: the budget of each window, and what edges hold of it (src/click_leases.rs). ==

-- Whose clicks are counted: subject_kind 1 = an offer, 2 = a link. window_start 0 = for as long as it lives.
CREATE TABLE click_budgets (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    subject_kind INTEGER NOT NULL CHECK (subject_kind IN (1, 2)),
    subject_id INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    -- Clicks that edges have reported. What they hold is the sum of the leases that are open.
    used INTEGER NOT NULL CHECK (used >= 0),
    PRIMARY KEY (tenant_id, subject_kind, subject_id, window_start)
) STRICT;
CREATE INDEX click_budgets_window ON click_budgets (window_start);

CREATE TABLE click_leases (
    tenant_id INTEGER NOT NULL REFERENCES tenants (id),
    edge_id INTEGER NOT NULL REFERENCES edges (id),
    -- Drawn by the edge, so that asking again gives the same lease.
    number INTEGER NOT NULL,
    subject_kind INTEGER NOT NULL,
    subject_id INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    granted INTEGER NOT NULL CHECK (granted >= 0),
    expires_at INTEGER NOT NULL,
    -- NULL = not reported on: open until it expires.
    spent INTEGER CHECK (spent >= 0),
    PRIMARY KEY (tenant_id, edge_id, number)
) STRICT;
CREATE INDEX click_leases_open ON click_leases (tenant_id, subject_kind, subject_id, window_start) WHERE spent IS NULL;
CREATE INDEX click_leases_over ON click_leases (expires_at);
