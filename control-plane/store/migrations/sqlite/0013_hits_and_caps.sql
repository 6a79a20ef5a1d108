-- Hits of visitors that are new to an offer, among `hits`. A version before this one adds to `hits` alone.
ALTER TABLE rollup_links ADD COLUMN unique_hits INTEGER NOT NULL DEFAULT 0;
