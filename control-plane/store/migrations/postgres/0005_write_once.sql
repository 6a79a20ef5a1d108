-- What is written once stays as it was written: corrections are new rows. There is no INSERT OR REPLACE
-- here: the keys alone refuse a second row, and none of SQLite's no_replace triggers is needed.
-- The store tells our refusals from the database's own by their code.

CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'TB001';
END $$;

-- On a partitioned table a row trigger holds for every partition, those to come included.
DO $$
DECLARE
    unchanging CONSTANT TEXT[] := ARRAY['journal', 'intake', 'rule_sets', 'terms', 'ledger_transactions',
        'ledger_entries', 'statements', 'statement_lines'];
    name TEXT;
BEGIN
    FOREACH name IN ARRAY unchanging LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I FOR EACH ROW
            EXECUTE FUNCTION refuse(%L)', name || '_no_change', name, name || ' is written once');
    END LOOP;
    FOREACH name IN ARRAY ARRAY['payouts', 'outbox'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE DELETE ON %I FOR EACH ROW
            EXECUTE FUNCTION refuse(%L)', name || '_no_delete', name, name || ' is written once');
    END LOOP;
    FOREACH name IN ARRAY unchanging || ARRAY['payouts', 'outbox'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I EXECUTE FUNCTION refuse(%L)',
            name || '_no_truncate', name, name || ' is written once');
    END LOOP;
END $$;

-- A payout moves on in status and reason alone.
CREATE TRIGGER payouts_no_update
BEFORE UPDATE OF tenant_id, id, seq, statement_id, partner_id, amount_minor, currency, recorded_at ON payouts
FOR EACH ROW EXECUTE FUNCTION refuse('payouts is written once, but for status and reason');

-- Entries come before their transaction and never after it.
CREATE FUNCTION ledger_entries_sealed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM ledger_transactions t WHERE t.tenant_id = NEW.tenant_id AND t.id = NEW.transaction_id
    ) THEN
        RAISE EXCEPTION 'the ledger transaction is posted already' USING ERRCODE = 'TB001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_entries_sealed BEFORE INSERT ON ledger_entries
FOR EACH ROW EXECUTE FUNCTION ledger_entries_sealed();

-- While the transaction is being posted by somebody else, the trigger above does not see it. Whoever added an
-- entry looks again when committing: the reference to the transaction holds only once that is committed.
CREATE FUNCTION ledger_entries_late() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF (
        SELECT sum(e.minor) FROM ledger_entries e
        WHERE e.tenant_id = NEW.tenant_id AND e.transaction_id = NEW.transaction_id
    ) <> 0 THEN
        RAISE EXCEPTION 'the ledger transaction is posted already' USING ERRCODE = 'TB001';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_entries_late AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION ledger_entries_late();

CREATE FUNCTION ledger_transactions_balance() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT count(*) FROM ledger_entries e
        WHERE e.tenant_id = NEW.tenant_id AND e.transaction_id = NEW.id
        HAVING count(*) >= 2 AND sum(e.minor) = 0
            AND min(e.currency) = NEW.currency AND max(e.currency) = NEW.currency
    ) THEN
        RAISE EXCEPTION 'the ledger transaction does not balance' USING ERRCODE = 'TB001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_transactions_balance BEFORE INSERT ON ledger_transactions
FOR EACH ROW EXECUTE FUNCTION ledger_transactions_balance();

CREATE FUNCTION ledger_transactions_chain() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM ledger_transactions t
        WHERE t.tenant_id = NEW.tenant_id AND t.advertiser_id = NEW.advertiser_id
            AND t.sequence = NEW.sequence - 1 AND t.hash = NEW.prev_hash
    ) THEN
        RAISE EXCEPTION 'the ledger transaction does not continue the chain' USING ERRCODE = 'TB001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_transactions_chain BEFORE INSERT ON ledger_transactions
FOR EACH ROW WHEN (NEW.sequence > 1) EXECUTE FUNCTION ledger_transactions_chain();

-- As in 0001.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['ledger_entries_sealed', 'ledger_entries_late', 'ledger_transactions_balance',
        'ledger_transactions_chain'] LOOP
        EXECUTE format('ALTER FUNCTION %I SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
