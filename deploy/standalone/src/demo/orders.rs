//! What the demo shop sells and has sold.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

pub struct Product {
    pub sku: &'static str,
    pub price: &'static str,
}

pub struct Products;

impl Products {
    pub const CURRENCY: &'static str = "USD";
    pub const ALL: [Product; 3] = [
        Product { sku: "mower", price: "1299.00" },
        Product { sku: "scooter", price: "649.00" },
        Product { sku: "cart", price: "2490.00" },
    ];

    pub fn find(sku: &str) -> Option<&'static Product> {
        Self::ALL.iter().find(|product| product.sku == sku)
    }
}

#[derive(Clone)]
pub struct Order {
    pub id: String,
    pub product: &'static Product,
    pub click_id: Option<String>,
    /// What the edge said to the postback; `None` while it is under way.
    pub postback: Option<String>,
    pub delivered: bool,
}

/// Orders live as long as the process: the shop is a prop, the truth stands in the control plane.
#[derive(Default)]
pub struct Orders(Mutex<BTreeMap<String, Order>>);

impl Orders {
    pub fn insert(&self, order: Order) {
        self.lock().insert(order.id.clone(), order);
    }

    pub fn get(&self, id: &str) -> Option<Order> {
        self.lock().get(id).cloned()
    }

    pub fn update(&self, id: &str, change: impl FnOnce(&mut Order)) {
        if let Some(order) = self.lock().get_mut(id) {
            change(order);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
