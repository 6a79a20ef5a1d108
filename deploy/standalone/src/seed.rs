//! What the first start creates: an operator's key, a tenant with its key, and the demo program. Beyond the
//! first key it goes through the REST interface like anybody else.

use crate::demo::Products;
use crate::error::{BoxError, Failure};
use crate::http_client::{HttpClient, request};
use crate::local::{Account, DemoProgram, LocalState};
use control_plane_server::{ControlPlane, app};
use http::Method;
use serde_json::{Value, json};

pub async fn accounts(
    control_plane: &ControlPlane,
    api_url: &str,
    local: &mut LocalState,
) -> Result<(), BoxError> {
    if local.operator_key.is_none() {
        let (_, secret) = app::keys::create_api_key(control_plane.app(), None, "tributary up").await?;
        local.operator_key = Some(secret);
        local.save()?;
    }
    if local.account.is_none() {
        let operator = Rest::new(api_url, local.operator_key.as_deref().unwrap_or_default());
        let tenant = operator.post("/v1/tenants", json!({ "name": "Demo" })).await?;
        let tenant_id = text(&tenant, "id")?;
        let key =
            operator.post("/v1/api-keys", json!({ "tenant_id": tenant_id, "name": "tributary up" })).await?;
        local.account = Some(Account { tenant_id, api_key: text(&key, "secret")? });
        local.save()?;
    }
    Ok(())
}

/// Creates the demo program once; later starts only point its offer to where the shop is now.
pub async fn demo_program(
    api_url: &str,
    demo_url: &str,
    local: &mut LocalState,
) -> Result<DemoProgram, BoxError> {
    let rest = Rest::new(api_url, &local.account()?.api_key);
    let destination = format!("{demo_url}/shop");
    if let Some(program) = local.demo.clone() {
        let path = format!("/v1/offers/{}", program.offer_id);
        rest.call(Method::PATCH, &path, json!({ "destination": destination })).await?;
        return Ok(program);
    }
    let advertiser = rest.post("/v1/advertisers", json!({ "name": "Meadow Robotics" })).await?;
    let advertiser_id = text(&advertiser, "id")?;
    let program = rest
        .post("/v1/programs", json!({ "advertiser_id": advertiser_id, "name": "Meadow Partners" }))
        .await?;
    let program_id = text(&program, "id")?;
    let offer = json!({
        "program_id": program_id,
        "name": "Robots for home and yard",
        "destination": destination,
        "terms": {
            "window_days": 30,
            "goals": [
                { "goal": "sale", "percentage": "0.1" },
                { "goal": "lead", "flat": { "amount": 500, "currency": Products::CURRENCY } },
            ],
            "hold": { "until_delivered": true, "days": 30 },
        },
    });
    let offer_id = text(&rest.post("/v1/offers", offer).await?, "id")?;
    let partner_id = text(&rest.post("/v1/partners", json!({ "name": "The Robot Review" })).await?, "id")?;
    let link = rest.post("/v1/links", json!({ "offer_id": offer_id, "partner_id": partner_id })).await?;
    let program = DemoProgram {
        postback_token: text(&advertiser, "postback_token")?,
        link_id: text(&link, "id")?,
        advertiser_id,
        program_id,
        offer_id,
        partner_id,
    };
    local.demo = Some(program.clone());
    local.save()?;
    Ok(program)
}

struct Rest<'a> {
    base: &'a str,
    key: String,
    client: HttpClient,
}

impl<'a> Rest<'a> {
    fn new(base: &'a str, key: &str) -> Self {
        Self { base, key: key.to_owned(), client: HttpClient::default() }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, BoxError> {
        self.call(Method::POST, path, body).await
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, BoxError> {
        let request = request(method, &format!("{}{path}", self.base), Some(&self.key), Some(&body))?;
        let reply = self.client.send(request).await?;
        if reply.status.is_success() {
            return reply.json();
        }
        let message = format!("the control plane refused {path} with {}: {}", reply.status, reply.text());
        Err(Failure::new(message).into())
    }
}

fn text(value: &Value, field: &str) -> Result<String, Failure> {
    let found = value[field].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("the control plane's answer has no {field}")))
}
