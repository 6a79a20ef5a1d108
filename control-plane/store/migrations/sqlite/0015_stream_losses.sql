-- What each stream has lost (stream_gaps), kept beside its head: whoever asks need not count. A trigger does it, since a
-- version that does not know these columns may still take gaps while a deploy rolls.
ALTER TABLE streams ADD COLUMN gaps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN lost_ordinals INTEGER NOT NULL DEFAULT 0;

UPDATE streams SET
    gaps = (SELECT count(*) FROM stream_gaps g WHERE g.stream = streams.stream),
    lost_ordinals = (SELECT coalesce(sum(g.last_ordinal - g.first_ordinal + 1), 0) FROM stream_gaps g
        WHERE g.stream = streams.stream);

CREATE TRIGGER stream_gaps_counted AFTER INSERT ON stream_gaps BEGIN
    UPDATE streams SET gaps = gaps + 1, lost_ordinals = lost_ordinals + NEW.last_ordinal - NEW.first_ordinal + 1
        WHERE stream = NEW.stream;
END;
