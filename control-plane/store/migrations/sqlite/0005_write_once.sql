-- What is written once stays as it was written: corrections are new rows.

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN
    SELECT RAISE(ABORT, 'journal is written once');
END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN
    SELECT RAISE(ABORT, 'journal is written once');
END;

CREATE TRIGGER intake_no_update BEFORE UPDATE ON intake BEGIN
    SELECT RAISE(ABORT, 'intake is written once');
END;

CREATE TRIGGER intake_no_delete BEFORE DELETE ON intake BEGIN
    SELECT RAISE(ABORT, 'intake is written once');
END;

CREATE TRIGGER rule_sets_no_update BEFORE UPDATE ON rule_sets BEGIN
    SELECT RAISE(ABORT, 'rule_sets is written once');
END;

CREATE TRIGGER rule_sets_no_delete BEFORE DELETE ON rule_sets BEGIN
    SELECT RAISE(ABORT, 'rule_sets is written once');
END;

CREATE TRIGGER terms_no_update BEFORE UPDATE ON terms BEGIN
    SELECT RAISE(ABORT, 'terms is written once');
END;

CREATE TRIGGER terms_no_delete BEFORE DELETE ON terms BEGIN
    SELECT RAISE(ABORT, 'terms is written once');
END;

CREATE TRIGGER ledger_transactions_no_update BEFORE UPDATE ON ledger_transactions BEGIN
    SELECT RAISE(ABORT, 'ledger_transactions is written once');
END;

CREATE TRIGGER ledger_transactions_no_delete BEFORE DELETE ON ledger_transactions BEGIN
    SELECT RAISE(ABORT, 'ledger_transactions is written once');
END;

CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'ledger_entries is written once');
END;

CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'ledger_entries is written once');
END;

CREATE TRIGGER statements_no_update BEFORE UPDATE ON statements BEGIN
    SELECT RAISE(ABORT, 'statements is written once');
END;

CREATE TRIGGER statements_no_delete BEFORE DELETE ON statements BEGIN
    SELECT RAISE(ABORT, 'statements is written once');
END;

CREATE TRIGGER statement_lines_no_update BEFORE UPDATE ON statement_lines BEGIN
    SELECT RAISE(ABORT, 'statement_lines is written once');
END;

CREATE TRIGGER statement_lines_no_delete BEFORE DELETE ON statement_lines BEGIN
    SELECT RAISE(ABORT, 'statement_lines is written once');
END;

-- Entries come before their transaction and never after it.
CREATE TRIGGER ledger_entries_sealed BEFORE INSERT ON ledger_entries
WHEN EXISTS (
    SELECT 1 FROM ledger_transactions t WHERE t.tenant_id = NEW.tenant_id AND t.id = NEW.transaction_id
) BEGIN
    SELECT RAISE(ABORT, 'the ledger transaction is posted already');
END;

CREATE TRIGGER ledger_transactions_balance BEFORE INSERT ON ledger_transactions
WHEN NOT EXISTS (
    SELECT count(*) FROM ledger_entries e
    WHERE e.tenant_id = NEW.tenant_id AND e.transaction_id = NEW.id
    HAVING count(*) >= 2 AND sum(e.minor) = 0 AND min(e.currency) = NEW.currency AND max(e.currency) = NEW.currency
) BEGIN
    SELECT RAISE(ABORT, 'the ledger transaction does not balance');
END;

CREATE TRIGGER ledger_transactions_chain BEFORE INSERT ON ledger_transactions
WHEN NEW.sequence > 1 AND NOT EXISTS (
    SELECT 1 FROM ledger_transactions t
    WHERE t.tenant_id = NEW.tenant_id AND t.advertiser_id = NEW.advertiser_id
        AND t.sequence = NEW.sequence - 1 AND t.hash = NEW.prev_hash
) BEGIN
    SELECT RAISE(ABORT, 'the ledger transaction does not continue the chain');
END;

-- INSERT OR REPLACE deletes without firing the triggers above.
CREATE TRIGGER ledger_transactions_no_replace BEFORE INSERT ON ledger_transactions
WHEN EXISTS (
    SELECT 1 FROM ledger_transactions t
    WHERE t.tenant_id = NEW.tenant_id
        AND (t.id = NEW.id OR t.seq = NEW.seq OR (t.advertiser_id = NEW.advertiser_id AND t.sequence = NEW.sequence))
) BEGIN
    SELECT RAISE(ABORT, 'the ledger transaction is posted already');
END;

CREATE TRIGGER intake_no_replace BEFORE INSERT ON intake
WHEN EXISTS (
    SELECT 1 FROM intake i
    WHERE i.tenant_id = NEW.tenant_id AND i.advertiser_id = NEW.advertiser_id AND i.ordinal = NEW.ordinal
) BEGIN
    SELECT RAISE(ABORT, 'intake is written once');
END;

CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal
WHEN EXISTS (
    SELECT 1 FROM journal j
    WHERE j.seq = NEW.seq OR (j.stream = NEW.stream AND j.first_ordinal = NEW.first_ordinal)
) BEGIN
    SELECT RAISE(ABORT, 'journal is written once');
END;
