//! Fraud signals: what an honest edge or advertiser would not send.

use super::auth::Tenant;
use super::body::Params;
use super::explain::AddressView;
use super::ids::{SIGNAL, Time};
use super::page::List;
use super::{Api, PageQuery, Reply};
use axum::Json;
use axum::extract::State;
use control_plane_store::projection::FraudSignal;
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
#[schema(as = FraudSignal)]
pub struct SignalView {
    #[schema(example = "sig_00000000000000000000000000")]
    pub id: String,
    #[schema(example = "click_id_disagrees")]
    pub kind: String,
    /// The event it is about.
    pub address: AddressView,
    pub detail: String,
    pub at: Time,
}

impl From<FraudSignal> for SignalView {
    fn from(signal: FraudSignal) -> Self {
        Self {
            id: signal.id.text(SIGNAL),
            kind: signal.kind,
            address: signal.address.into(),
            detail: signal.detail,
            at: Time(signal.at),
        }
    }
}

/// List fraud signals
#[utoipa::path(get, path = "/v1/fraud-signals", tag = "tracking", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<SignalView>)))]
pub async fn list_signals(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<SignalView>>> {
    let slice = api.slice(format!("{tenant} fraud-signals"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_signals(tenant, slice.after, slice.limit).await?.map(SignalView::from);
    Ok(Json(slice.list(page.items, page.next)))
}
