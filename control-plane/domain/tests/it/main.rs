//! The domain from outside: scenarios as text, permutations of journeys, and random sequences of inputs
//! against the invariants.

mod journeys;
mod machine;
mod scenario;
mod scenarios;
mod shell;
mod world;
