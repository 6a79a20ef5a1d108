//! Whether the books agree with each other, and how far those who keep them have come.

use crate::codec::hex;
use crate::dialect::Scope;
use crate::row::Columns;
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};
use control_plane_domain::ledger::Account;
use proto_model::{Currency, PartnerId, TenantId, UnixMicros};
use std::collections::BTreeMap;

/// Two things in the books that cannot both be true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contradiction {
    pub tenant: TenantId,
    /// Which rule is broken.
    pub what: &'static str,
    /// The statement, or the partner and currency, in which it is.
    pub subject: String,
}

/// What waits for one of those who fold the logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    pub items: u64,
    /// Since when the oldest of them waits.
    pub since: Option<UnixMicros>,
}

/// Each selects tenant and statement of what breaks the rule.
const STATEMENTS: [(&str, &str); 4] = [
    (
        "the statement does not add up",
        "SELECT s.tenant_id, s.id FROM statements s LEFT JOIN (
            SELECT l.tenant_id, l.statement_id, sum(c.amount_minor) AS total FROM statement_lines l
            JOIN credits c ON c.tenant_id = l.tenant_id AND c.id = l.credit_id
            GROUP BY l.tenant_id, l.statement_id
        ) t ON t.tenant_id = s.tenant_id AND t.statement_id = s.id
        WHERE s.opening_minor + coalesce(t.total, 0) <> s.closing_minor LIMIT $1",
    ),
    (
        "the statement does not open with what the one before it carried over",
        "SELECT tenant_id, id FROM (
            SELECT tenant_id, id, opening_minor,
                lag(CASE WHEN closing_minor < 0 THEN closing_minor ELSE 0 END)
                    OVER (PARTITION BY tenant_id, partner_id, currency ORDER BY seq) AS held
            FROM statements
        ) s WHERE opening_minor <> coalesce(held, 0) LIMIT $1",
    ),
    (
        "the payout is not the statement's positive balance",
        "SELECT s.tenant_id, s.id FROM statements s
        LEFT JOIN payouts p ON p.tenant_id = s.tenant_id AND p.statement_id = s.id
        WHERE coalesce(p.amount_minor, 0) <> CASE WHEN s.closing_minor > 0 THEN s.closing_minor ELSE 0 END
            OR (p.id IS NULL) <> (s.payout_id IS NULL) OR p.id <> s.payout_id
            OR p.partner_id <> s.partner_id OR p.currency <> s.currency LIMIT $1",
    ),
    (
        "a line of the statement is of a credit that says otherwise",
        "SELECT l.tenant_id, l.statement_id AS id FROM statement_lines l
        JOIN credits c ON c.tenant_id = l.tenant_id AND c.id = l.credit_id
        JOIN statements s ON s.tenant_id = l.tenant_id AND s.id = l.statement_id
        WHERE c.statement_id IS NULL OR c.statement_id <> l.statement_id
            OR c.partner_id <> s.partner_id OR c.currency <> s.currency LIMIT $1",
    ),
];

/// Selects tenant, partner and currency.
const CARRIED: (&str, &str) = (
    "what is carried over is not what the last statement says",
    "SELECT s.tenant_id, s.partner_id, s.currency FROM statements s
        LEFT JOIN carried c ON c.tenant_id = s.tenant_id AND c.partner_id = s.partner_id
            AND c.currency = s.currency
        WHERE s.seq = (SELECT max(l.seq) FROM statements l WHERE l.tenant_id = s.tenant_id
                AND l.partner_id = s.partner_id AND l.currency = s.currency)
            AND coalesce(c.minor, 0) <> CASE WHEN s.closing_minor < 0 THEN s.closing_minor ELSE 0 END
        LIMIT $1",
);

/// What the ledger's accounts must come to, beside what they do come to.
const OWED: &str = "SELECT tenant_id, partner_id, currency, CAST(sum(minor) AS BIGINT) AS minor FROM (
        SELECT tenant_id, partner_id, currency, minor FROM carried
        UNION ALL
        SELECT tenant_id, partner_id, currency, amount_minor FROM credits WHERE statement_id IS NULL
    ) owed GROUP BY tenant_id, partner_id, currency";
const DUE: &str = "SELECT tenant_id, partner_id, currency, CAST(sum(amount_minor) AS BIGINT) AS minor
    FROM payouts GROUP BY tenant_id, partner_id, currency";
const ACCOUNTS: &str = "SELECT tenant_id, account, currency, CAST(sum(minor) AS BIGINT) AS minor
    FROM ledger_entries WHERE account LIKE 'partner_payable:%' OR account LIKE 'payout_due:%'
    GROUP BY tenant_id, account, currency";

/// The ledger holds credits as negative: with what it must come to, each account is zero.
async fn misposted(conn: &mut Connection) -> Result<Vec<Contradiction>, StoreError> {
    let mut left: BTreeMap<(TenantId, Account, Currency), i128> = BTreeMap::new();
    for (sql, is_due) in [(OWED, false), (DUE, true)] {
        for row in query(sql).fetch_all(conn).await? {
            let partner = row.id("partner_id")?;
            let account = if is_due { Account::PayoutDue(partner) } else { Account::PartnerPayable(partner) };
            let key = (row.id("tenant_id")?, account, row.currency("currency")?);
            *left.entry(key).or_default() += i128::from(row.col::<i64>("minor")?);
        }
    }
    for row in query(ACCOUNTS).fetch_all(conn).await? {
        let account = row.word("account", Account::parse)?;
        let key = (row.id("tenant_id")?, account, row.currency("currency")?);
        *left.entry(key).or_default() += i128::from(row.col::<i64>("minor")?);
    }
    let what = "the ledger's account is not what statements, open credits and payouts come to";
    let wrong = left.into_iter().filter(|(_, minor)| *minor != 0);
    Ok(wrong
        .map(|((tenant, account, currency), _)| Contradiction {
            tenant,
            what,
            subject: format!("{account} in {currency}"),
        })
        .collect())
}

const JOURNAL: &str = "SELECT h.seq - c.seq AS items,
        (SELECT min(j.received_at) FROM journal j WHERE j.seq > c.seq) AS since
    FROM journal_head h, journal_checkpoints c WHERE c.name = 'projector'";

const INTAKE: &str = "SELECT CAST(coalesce(sum(h.head - coalesce(c.ordinal, 0)), 0) AS BIGINT) AS items,
        min((SELECT i.recorded_at FROM intake i WHERE i.tenant_id = h.tenant_id
            AND i.advertiser_id = h.advertiser_id AND i.ordinal = coalesce(c.ordinal, 0) + 1)) AS since
    FROM intake_heads h LEFT JOIN money_checkpoints c
        ON c.tenant_id = h.tenant_id AND c.advertiser_id = h.advertiser_id
    WHERE h.head > coalesce(c.ordinal, 0)";

impl Store {
    /// Rules of statements, payouts and balances that do not hold, a few of each; all in one state of the books.
    pub async fn contradictions(&self, of_each: u32) -> Result<Vec<Contradiction>, StoreError> {
        let mut conn = self.read_snapshot(Scope::Deployment).await?;
        let mut found = Vec::new();
        for (what, sql) in STATEMENTS {
            for row in query(sql).bind(i64::from(of_each)).fetch_all(&mut conn).await? {
                let subject = format!("statement {}", hex(&row.bytes::<16>("id")?));
                found.push(Contradiction { tenant: row.id("tenant_id")?, what, subject });
            }
        }
        let (what, sql) = CARRIED;
        for row in query(sql).bind(i64::from(of_each)).fetch_all(&mut conn).await? {
            let partner: PartnerId = row.id("partner_id")?;
            let subject = format!("partner {partner} in {}", row.currency("currency")?);
            found.push(Contradiction { tenant: row.id("tenant_id")?, what, subject });
        }
        let most = usize::try_from(of_each).unwrap_or(usize::MAX);
        found.extend(misposted(&mut conn).await?.into_iter().take(most));
        Ok(found)
    }

    /// Batches that the projector has not come to.
    pub async fn waiting_for_projector(&self) -> Result<Work, StoreError> {
        read_work(&query(JOURNAL).fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }

    /// Intake items that the money engine has not come to.
    pub async fn waiting_for_engine(&self) -> Result<Work, StoreError> {
        read_work(&query(INTAKE).fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }
}

fn read_work(row: &Row) -> Result<Work, StoreError> {
    Ok(Work { items: row.number("items")?, since: row.col::<Option<i64>>("since")?.map(UnixMicros) })
}
