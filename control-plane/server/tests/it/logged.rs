//! What a control plane says in its log.

use proto_model::EdgeId;
use std::io;
use std::sync::{Arc, Mutex};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

/// Warnings and errors of this thread, which is all that a test's runtime has.
pub struct Logged {
    text: Text,
    _until: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    pub fn here() -> Self {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(Level::WARN)
            .with_ansi(false)
            .finish();
        Self { text, _until: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines since it was last called.
    pub fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.text.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    /// Those that name the edge.
    pub fn of(&self, edge: EdgeId) -> Vec<String> {
        let named = format!("edge={edge}");
        self.take().into_iter().filter(|line| line.contains(&named)).collect()
    }
}
