//! A publisher's page and a tiny robot shop, so that the main job can be tried by hand: click, buy,
//! deliver. The shop does what a real one would: it keeps the click id in its own cookie, loads `/t.js` and asks for
//! consent, fires the pixel on the thank-you page, and confirms each order with a postback from its server.

mod orders;
mod pages;
mod shop;

pub use orders::Products;
pub use shop::{Demo, DemoSettings};
