//! The one byte form of what is hashed: big-endian, length-prefixed, no options left to a library.

use proto_model::{Amount, Currency, DerivedId, UnixMicros};

/// Bytes under construction. Every variable-length part carries its length, so that no two different
/// values share a form.
#[derive(Debug, Default)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    /// Starts with what kind of thing follows.
    pub(crate) fn of(domain: &str) -> Self {
        let mut bytes = Self::default();
        bytes.text(domain);
        bytes
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn len(&mut self, count: usize) {
        self.u64(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn id(&mut self, id: DerivedId) {
        self.0.extend_from_slice(&id.0);
    }

    pub(crate) fn time(&mut self, at: UnixMicros) {
        self.i64(at.0);
    }

    pub(crate) fn currency(&mut self, currency: Currency) {
        self.text(currency.code());
    }

    pub(crate) fn amount(&mut self, amount: Amount) {
        self.currency(amount.currency);
        self.i64(amount.minor);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}
