//! The conformance suite of the store: every operation, against whichever database it is opened on.

mod opening;
