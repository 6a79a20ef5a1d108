//! The demo's pages, in English and Simplified Chinese.

use super::orders::{Order, Products};
use askama::Template;
pub use control_plane_server::live::Words;

/// One product as the shop shows it.
struct Offered {
    sku: &'static str,
    name: String,
    about: String,
    price: &'static str,
    currency: &'static str,
}

#[derive(Template)]
#[template(path = "publisher.html")]
struct Publisher {
    w: Words,
    link: String,
}

#[derive(Template)]
#[template(path = "shop.html")]
struct Shop<'a> {
    w: Words,
    products: Vec<Offered>,
    /// Of the edge, for the shop's visitors.
    script: String,
    advertiser: &'a str,
}

#[derive(Template)]
#[template(path = "thank_you.html")]
struct ThankYou<'a> {
    w: Words,
    order: &'a Order,
    product: String,
    currency: &'static str,
    pixel: String,
    live: String,
}

pub fn publisher(w: Words, link: String) -> Result<String, askama::Error> {
    Publisher { w, link }.render()
}

pub fn shop(w: Words, script: String, advertiser: &str) -> Result<String, askama::Error> {
    let offered = |product: &super::orders::Product| Offered {
        sku: product.sku,
        name: w.t(&format!("demo-product-{}", product.sku)),
        about: w.t(&format!("demo-product-{}-about", product.sku)),
        price: product.price,
        currency: Products::CURRENCY,
    };
    let products = Products::ALL.iter().map(offered).collect();
    Shop { w, products, script, advertiser }.render()
}

pub fn thank_you(w: Words, order: &Order, pixel: String, live: String) -> Result<String, askama::Error> {
    let product = w.t(&format!("demo-product-{}", order.product.sku));
    ThankYou { w, order, product, currency: Products::CURRENCY, pixel, live }.render()
}
