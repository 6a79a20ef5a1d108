//! One value for each lane.

use proto_model::Lane;
use std::ops::{Index, IndexMut};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    pub money: T,
    pub traffic: T,
}

impl<T> PerLane<T> {
    /// Money comes first wherever lanes are visited in order.
    pub fn build(mut make: impl FnMut(Lane) -> T) -> Self {
        Self { money: make(Lane::Money), traffic: make(Lane::Traffic) }
    }

    pub fn try_build<E>(mut make: impl FnMut(Lane) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { money: make(Lane::Money)?, traffic: make(Lane::Traffic)? })
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Money => &self.money,
            Lane::Traffic => &self.traffic,
        }
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Money => &mut self.money,
            Lane::Traffic => &mut self.traffic,
        }
    }
}
