//! What `up` says when it is ready: a banner for a person, one JSON line for a program.

use crate::error::BoxError;
use crate::local::LocalState;
use crate::up::Options;
use serde::Serialize;
use std::io::Write;

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Json,
}

#[derive(Serialize)]
pub struct Ready {
    pub version: &'static str,
    pub data_dir: String,
    pub api_url: String,
    /// Of the tenant that the demo lives in.
    pub api_key: String,
    /// For what spans tenants: tenants themselves, edges.
    pub operator_key: String,
    /// Logs a browser in once, within 30 minutes.
    pub admin_url: String,
    pub edge_url: String,
    /// Where the edge's metrics are.
    pub edge_admin_url: Option<String>,
    pub publisher_url: Option<String>,
    pub demo_link: Option<String>,
    pub demo_advertiser: Option<String>,
    pub demo_offer: Option<String>,
    pub demo_partner: Option<String>,
    pub postback_token: Option<String>,
}

impl Ready {
    pub fn new(
        options: &Options,
        local: &LocalState,
        api_url: String,
        edge_url: String,
        edge_admin_url: Option<String>,
        demo_url: Option<String>,
        admin_url: String,
    ) -> Result<Self, BoxError> {
        let demo = local.demo.as_ref().filter(|_| demo_url.is_some());
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            data_dir: options.data_dir.display().to_string(),
            api_key: local.account()?.api_key.clone(),
            operator_key: local.operator_key.clone().unwrap_or_default(),
            api_url,
            admin_url,
            edge_url,
            edge_admin_url,
            publisher_url: demo_url.map(|url| format!("{url}/publisher")),
            demo_link: demo.map(|demo| demo.link_id.clone()),
            demo_advertiser: demo.map(|demo| demo.advertiser_id.clone()),
            demo_offer: demo.map(|demo| demo.offer_id.clone()),
            demo_partner: demo.map(|demo| demo.partner_id.clone()),
            postback_token: demo.map(|demo| demo.postback_token.clone()),
        })
    }

    fn banner(&self) -> String {
        let mut lines = vec![
            String::new(),
            format!("  Tributary {}", self.version),
            String::new(),
            format!("  data       {}", self.data_dir),
            format!("  API        {}/v1   (key: {}/local.json)", self.api_url, self.data_dir),
            format!("  edge       {}", self.edge_url),
            format!("  live page  {}", self.admin_url),
            "             (this link logs you in once, within 30 minutes)".to_owned(),
        ];
        if let (Some(publisher), Some(link), Some(advertiser), Some(token)) =
            (&self.publisher_url, &self.demo_link, &self.demo_advertiser, &self.postback_token)
        {
            lines.extend([
                format!("  demo       {publisher}"),
                String::new(),
                "  A click and a conversion by hand:".to_owned(),
                String::new(),
                "    ORDER=hello-$RANDOM".to_owned(),
                format!(
                    "    CLICK=$(curl -so /dev/null -w '%{{redirect_url}}' {}/c/{link} | sed 's/.*click_id=//')",
                    self.edge_url
                ),
                format!(
                    "    curl \"{}/postback/{advertiser}?click_id=$CLICK&order_id=$ORDER&amount=100.00&currency=USD&token={token}\"; echo",
                    self.edge_url
                ),
                String::new(),
                "  and, a second later, what came of it:".to_owned(),
                String::new(),
                format!(
                    "    curl -H 'Authorization: Bearer {}' \"{}/v1/conversions?order_id=$ORDER\"; echo",
                    self.api_key, self.api_url
                ),
            ]);
        }
        lines.extend([
            String::new(),
            "  Every hit as it comes in, and why it counts or not, in another terminal:".to_owned(),
            String::new(),
            format!("    tributary ctl tail --api-url {} --data-dir {}", self.api_url, self.data_dir),
        ]);
        lines.extend([String::new(), "  Ctrl-C stops it; nothing is lost.".to_owned(), String::new()]);
        lines.join("\n")
    }
}

pub fn print_ready(ready: &Ready, format: Format) -> Result<(), BoxError> {
    let text = match format {
        Format::Text => ready.banner(),
        Format::Json => serde_json::to_string(ready)?,
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

/// A word to the person, never on stdout.
pub fn note(format: Format, text: &str) {
    if format == Format::Text {
        eprintln!("  {text}");
    }
}
