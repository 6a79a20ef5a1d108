-- INSERT OR REPLACE deletes without firing the triggers that forbid deletion: it is refused where a row stands already.

CREATE TRIGGER rule_sets_no_replace BEFORE INSERT ON rule_sets
WHEN EXISTS (SELECT 1 FROM rule_sets r WHERE r.tenant_id = NEW.tenant_id AND r.version = NEW.version) BEGIN
    SELECT RAISE(ABORT, 'rule_sets is written once');
END;

CREATE TRIGGER terms_no_replace BEFORE INSERT ON terms
WHEN EXISTS (
    SELECT 1 FROM terms t
    WHERE t.tenant_id = NEW.tenant_id AND t.advertiser_id = NEW.advertiser_id
        AND t.offer_id = NEW.offer_id AND t.version = NEW.version
) BEGIN
    SELECT RAISE(ABORT, 'terms is written once');
END;

CREATE TRIGGER statements_no_replace BEFORE INSERT ON statements
WHEN EXISTS (
    SELECT 1 FROM statements s
    WHERE s.tenant_id = NEW.tenant_id
        AND (
            s.id = NEW.id OR s.seq = NEW.seq
            OR (s.partner_id = NEW.partner_id AND s.currency = NEW.currency AND s.through = NEW.through)
        )
) BEGIN
    SELECT RAISE(ABORT, 'statements is written once');
END;

CREATE TRIGGER statement_lines_no_replace BEFORE INSERT ON statement_lines
WHEN EXISTS (
    SELECT 1 FROM statement_lines l
    WHERE l.tenant_id = NEW.tenant_id
        AND ((l.statement_id = NEW.statement_id AND l.line = NEW.line) OR l.credit_id = NEW.credit_id)
) BEGIN
    SELECT RAISE(ABORT, 'statement_lines is written once');
END;

-- Of a payout only the status moves.
CREATE TRIGGER payouts_no_update BEFORE UPDATE ON payouts
WHEN NEW.tenant_id IS NOT OLD.tenant_id OR NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq
    OR NEW.statement_id IS NOT OLD.statement_id OR NEW.partner_id IS NOT OLD.partner_id
    OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.currency IS NOT OLD.currency
    OR NEW.recorded_at IS NOT OLD.recorded_at
BEGIN
    SELECT RAISE(ABORT, 'payouts is written once but for its status');
END;

CREATE TRIGGER payouts_no_delete BEFORE DELETE ON payouts BEGIN
    SELECT RAISE(ABORT, 'payouts is written once but for its status');
END;

CREATE TRIGGER payouts_no_replace BEFORE INSERT ON payouts
WHEN EXISTS (
    SELECT 1 FROM payouts p WHERE p.tenant_id = NEW.tenant_id AND (p.id = NEW.id OR p.seq = NEW.seq)
) BEGIN
    SELECT RAISE(ABORT, 'payouts is written once but for its status');
END;
