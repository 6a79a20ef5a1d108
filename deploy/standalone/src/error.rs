//! Errors for a person at a terminal: the whole chain on one line.

use std::error::Error;

pub type BoxError = Box<dyn Error + Send + Sync>;

/// A message of our own, with what caused it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    #[source]
    pub source: Option<BoxError>,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    pub fn because(message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { message: message.into(), source: Some(source.into()) }
    }
}

/// `outer: middle: root`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let root = Failure::new("disk full");
        let middle = Failure::because("cannot write", root);
        let outer = Failure::because("cannot start", middle);
        assert_eq!(chain(&outer), "cannot start: cannot write: disk full");
    }
}
