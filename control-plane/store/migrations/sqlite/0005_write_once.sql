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

-- INSERT OR REPLACE deletes without firing the triggers above. These tables have no rowid that it could name
-- instead of a key. One EXISTS per key, so that each is a look-up.
CREATE TRIGGER ledger_transactions_no_replace BEFORE INSERT ON ledger_transactions
WHEN EXISTS (
    SELECT 1 FROM ledger_transactions t WHERE t.tenant_id = NEW.tenant_id AND t.id = NEW.id
) OR EXISTS (
    SELECT 1 FROM ledger_transactions t WHERE t.tenant_id = NEW.tenant_id AND t.seq = NEW.seq
) OR EXISTS (
    SELECT 1 FROM ledger_transactions t
    WHERE t.tenant_id = NEW.tenant_id AND t.advertiser_id = NEW.advertiser_id AND t.sequence = NEW.sequence
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
    SELECT 1 FROM journal j WHERE j.seq = NEW.seq
) OR EXISTS (
    SELECT 1 FROM journal j WHERE j.stream = NEW.stream AND j.first_ordinal = NEW.first_ordinal
) BEGIN
    SELECT RAISE(ABORT, 'journal is written once');
END;

CREATE TRIGGER rule_sets_no_replace BEFORE INSERT ON rule_sets
WHEN EXISTS (
    SELECT 1 FROM rule_sets r WHERE r.tenant_id = NEW.tenant_id AND r.version = NEW.version
) BEGIN
    SELECT RAISE(ABORT, 'rule_sets is written once');
END;

CREATE TRIGGER terms_no_replace BEFORE INSERT ON terms
WHEN EXISTS (
    SELECT 1 FROM terms t
    WHERE t.tenant_id = NEW.tenant_id AND t.advertiser_id = NEW.advertiser_id AND t.offer_id = NEW.offer_id
        AND t.version = NEW.version
) BEGIN
    SELECT RAISE(ABORT, 'terms is written once');
END;

CREATE TRIGGER statements_no_replace BEFORE INSERT ON statements
WHEN EXISTS (
    SELECT 1 FROM statements s WHERE s.tenant_id = NEW.tenant_id AND s.id = NEW.id
) OR EXISTS (
    SELECT 1 FROM statements s WHERE s.tenant_id = NEW.tenant_id AND s.seq = NEW.seq
) OR EXISTS (
    SELECT 1 FROM statements s
    WHERE s.tenant_id = NEW.tenant_id AND s.partner_id = NEW.partner_id AND s.currency = NEW.currency
        AND s.through = NEW.through
) BEGIN
    SELECT RAISE(ABORT, 'statements is written once');
END;

CREATE TRIGGER statement_lines_no_replace BEFORE INSERT ON statement_lines
WHEN EXISTS (
    SELECT 1 FROM statement_lines l WHERE l.tenant_id = NEW.tenant_id AND l.credit_id = NEW.credit_id
) OR EXISTS (
    SELECT 1 FROM statement_lines l
    WHERE l.tenant_id = NEW.tenant_id AND l.statement_id = NEW.statement_id AND l.line = NEW.line
) BEGIN
    SELECT RAISE(ABORT, 'statement_lines is written once');
END;

-- A payout moves on in status and reason alone.
CREATE TRIGGER payouts_no_update
BEFORE UPDATE OF tenant_id, id, seq, statement_id, partner_id, amount_minor, currency, recorded_at ON payouts
BEGIN
    SELECT RAISE(ABORT, 'payouts is written once, but for status and reason');
END;

CREATE TRIGGER payouts_no_delete BEFORE DELETE ON payouts BEGIN
    SELECT RAISE(ABORT, 'payouts is written once');
END;

CREATE TRIGGER payouts_no_replace BEFORE INSERT ON payouts
WHEN EXISTS (
    SELECT 1 FROM payouts p WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.id
) OR EXISTS (
    SELECT 1 FROM payouts p WHERE p.tenant_id = NEW.tenant_id AND p.seq = NEW.seq
) BEGIN
    SELECT RAISE(ABORT, 'payouts is written once');
END;

-- Nothing delivers yet, so that every row of the outbox is undelivered.
CREATE TRIGGER outbox_no_delete BEFORE DELETE ON outbox BEGIN
    SELECT RAISE(ABORT, 'outbox is written once');
END;

CREATE TRIGGER outbox_no_replace BEFORE INSERT ON outbox
WHEN EXISTS (
    SELECT 1 FROM outbox o WHERE o.tenant_id = NEW.tenant_id AND o.id = NEW.id
) OR EXISTS (
    SELECT 1 FROM outbox o WHERE o.tenant_id = NEW.tenant_id AND o.seq = NEW.seq
) BEGIN
    SELECT RAISE(ABORT, 'outbox is written once');
END;
