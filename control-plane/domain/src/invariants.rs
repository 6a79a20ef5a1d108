//! What must hold of a shard's books after every step.
