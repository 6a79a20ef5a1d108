//! Small keyed state that can be rebuilt, in sled.

/// Cheap to clone.
#[derive(Clone)]
pub struct State;

impl State {
    /// The hash of what was first seen under a conversion key.
    pub fn seen_conversion(&self, _key: &[u8; 32]) -> Option<[u8; 32]> {
        None
    }

    pub fn remember_conversion(&self, _key: &[u8; 32], _content: &[u8; 32]) {}
}
