//! The ledger: transactions, their entries, balances, and the proof by replay.

use super::auth::Tenant;
use super::body::Params;
use super::ids::{AdvertiserRef, AmountView, COMMISSION, Id, LEDGER_TRANSACTION, PAYOUT, Time, derived, hex};
use super::page::List;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::replay::{self, ReplayReport};
use axum::Json;
use axum::extract::State;
use control_plane_domain::ledger::{Account, LedgerTransaction, TransactionKind};
use control_plane_store::ledger::{LedgerFilter, LedgerRow};
use utoipa::{IntoParams, ToSchema};

/// A balanced set of entries, at its place in a shard's hash chain.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = LedgerTransaction)]
pub struct TransactionView {
    #[schema(example = "ltx_00000000000000000000000000")]
    pub id: String,
    /// Whose shard it stands in; null = the tenant's settlement shard.
    pub advertiser_id: Option<AdvertiserRef>,
    /// Dense from 1 within the shard.
    pub sequence: u64,
    /// `accrue`, `amend`, `approve`, `reverse`, `clawback`, `credit` or `payout`.
    pub kind: &'static str,
    /// The commission (`cms_`) or payout (`pay_`) it is about.
    pub subject_id: String,
    pub posted_at: Time,
    /// The intake item that caused it.
    pub intake_ordinal: u64,
    pub prev_hash: String,
    pub hash: String,
    pub entries: Vec<EntryView>,
}

/// One side of a ledger transaction. Debits are positive, credits negative.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct EntryView {
    pub ledger_transaction_id: String,
    #[schema(example = "partner_payable:ptn_04hmasw9")]
    pub account: String,
    pub amount: AmountView,
    pub kind: &'static str,
    pub subject_id: String,
    pub posted_at: Time,
}

fn subject(transaction: &LedgerTransaction) -> String {
    let prefix = if transaction.kind == TransactionKind::Payout { PAYOUT } else { COMMISSION };
    transaction.subject.text(prefix)
}

fn entries(transaction: &LedgerTransaction) -> Vec<EntryView> {
    let entry = |entry: &control_plane_domain::ledger::LedgerEntry| EntryView {
        ledger_transaction_id: transaction.id.text(LEDGER_TRANSACTION),
        account: entry.account.to_string(),
        amount: AmountView::of(entry.minor, transaction.currency),
        kind: transaction.kind.as_str(),
        subject_id: subject(transaction),
        posted_at: Time(transaction.posted_at),
    };
    transaction.entries.iter().map(entry).collect()
}

impl From<LedgerRow> for TransactionView {
    fn from(row: LedgerRow) -> Self {
        let transaction = row.transaction;
        Self {
            id: transaction.id.text(LEDGER_TRANSACTION),
            advertiser_id: row.advertiser.map(Id),
            sequence: transaction.sequence,
            kind: transaction.kind.as_str(),
            subject_id: subject(&transaction),
            posted_at: Time(transaction.posted_at),
            intake_ordinal: transaction.intake_ordinal,
            prev_hash: hex(&transaction.prev_hash),
            hash: hex(&transaction.hash),
            entries: entries(&transaction),
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LedgerQuery {
    /// Only transactions about this commission.
    commission_id: Option<String>,
    /// Only transactions about this payout.
    payout_id: Option<String>,
    /// Only transactions with an entry on this account, e.g. `partner_payable:ptn_04hmasw9`.
    account: Option<String>,
    /// How many transactions: 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl LedgerQuery {
    fn filter(&self) -> Result<LedgerFilter, Problem> {
        let bad = |detail: &str| Problem::bad_request("invalid_query", detail);
        let subject = match (&self.commission_id, &self.payout_id) {
            (Some(_), Some(_)) => return Err(bad("Give either commission_id or payout_id.")),
            (Some(text), None) => Some(derived(text, COMMISSION, "commission")?),
            (None, Some(text)) => Some(derived(text, PAYOUT, "payout")?),
            (None, None) => None,
        };
        let account = match &self.account {
            Some(text) => Some(Account::parse(text).ok_or_else(|| bad("account is not an account."))?),
            None => None,
        };
        Ok(LedgerFilter { subject, account })
    }
}

async fn page(
    api: &Api,
    tenant: proto_model::TenantId,
    list: &str,
    query: &LedgerQuery,
) -> Reply<List<LedgerRow>> {
    let filter = query.filter()?;
    let scope = format!("{tenant} {list} {filter:?}");
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let page = api.store().list_transactions(tenant, &filter, slice.after, slice.limit).await?;
    Ok(slice.list(page.items, page.next))
}

/// List ledger transactions
#[utoipa::path(get, path = "/v1/ledger-transactions", tag = "money", params(LedgerQuery),
    responses((status = 200, description = "A page, newest first", body = List<TransactionView>)))]
pub async fn list_transactions(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<LedgerQuery>,
) -> Reply<Json<List<TransactionView>>> {
    let list = page(&api, tenant, "ledger-transactions", &query).await?;
    Ok(Json(list.map(TransactionView::from)))
}

/// List ledger entries
///
/// `limit` counts transactions: the entries of one are never split over two pages, so that every page sums
/// to zero.
#[utoipa::path(get, path = "/v1/ledger-entries", tag = "money", params(LedgerQuery),
    responses((status = 200, description = "A page, newest transaction first", body = List<EntryView>)))]
pub async fn list_entries(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<LedgerQuery>,
) -> Reply<Json<List<EntryView>>> {
    let List { data, has_more, next_cursor } = page(&api, tenant, "ledger-entries", &query).await?;
    let data = data.iter().flat_map(|row| entries(&row.transaction)).collect();
    Ok(Json(List { data, has_more, next_cursor }))
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = LedgerAccount)]
pub struct AccountView {
    #[schema(example = "partner_payable:ptn_04hmasw9")]
    pub account: String,
    /// Debits are positive, credits negative.
    pub balance: AmountView,
}

/// List accounts with their balances
#[utoipa::path(get, path = "/v1/ledger-accounts", tag = "money",
    responses((status = 200, description = "Every account in every currency", body = List<AccountView>)))]
pub async fn list_accounts(State(api): State<Api>, Tenant(tenant): Tenant) -> Reply<Json<List<AccountView>>> {
    let balances = api.store().balances(tenant).await?;
    let view = |balance: &control_plane_store::ledger::Balance| AccountView {
        account: balance.account.to_string(),
        balance: balance.amount.into(),
    };
    Ok(Json(super::page::whole(balances.iter().map(view).collect())))
}

/// What replaying every shard of the tenant from nothing has found.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = LedgerReplay)]
pub struct ReplayView {
    /// Every ledger, statement and payout came out byte for byte as stored, and nothing else is stored.
    pub equal: bool,
    pub shards: Vec<ShardReplay>,
}

#[derive(serde::Serialize, ToSchema)]
pub struct ShardReplay {
    /// Null = the tenant's settlement shard.
    pub advertiser_id: Option<AdvertiserRef>,
    pub equal: bool,
    pub intake_items: u64,
    pub ledger_transactions: u64,
    pub statements: u64,
    pub payouts: u64,
    /// SHA-256 at the head of the chain that the replay made.
    pub ledger_hash: String,
    /// The first thing that differs.
    pub difference: Option<String>,
}

impl From<ReplayReport> for ShardReplay {
    fn from(report: ReplayReport) -> Self {
        Self {
            advertiser_id: report.shard.advertiser.map(Id),
            equal: report.difference.is_none(),
            intake_items: report.items,
            ledger_transactions: report.transactions,
            statements: report.statements,
            payouts: report.payouts,
            ledger_hash: hex(&report.ledger_hash),
            difference: report.difference,
        }
    }
}

/// Replay the ledger from the intake and compare
#[utoipa::path(post, path = "/v1/ledger/replay", tag = "money",
    responses((status = 200, description = "What was found, shard by shard", body = ReplayView)))]
pub async fn replay_ledger(State(api): State<Api>, Tenant(tenant): Tenant) -> Reply<Json<ReplayView>> {
    let mut shards = Vec::new();
    for shard in api.store().shards(tenant).await? {
        shards.push(ShardReplay::from(replay::replay_shard(api.app(), shard).await?));
    }
    Ok(Json(ReplayView { equal: shards.iter().all(|shard| shard.equal), shards }))
}
