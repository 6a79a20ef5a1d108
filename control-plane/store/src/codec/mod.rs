//! Domain values as JSON columns.
