//! Background work that outlives its errors: a task that fails is logged with its whole cause, brings
//! readiness down, and is started again after a pause.

use crate::App;
use crate::app::health::Status;
use crate::error::{AppError, chain};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The wish to end, seen by every task.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the process shall end (or whoever could say so is gone).
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// False when the end came first.
    pub async fn sleep(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = self.wait() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Runs `work` until the process ends. `work` returns `Ok` only when it was asked to stop.
pub fn spawn<F, Fut>(name: &'static str, app: Arc<App>, mut stop: Stop, work: F) -> JoinHandle<()>
where
    F: Fn(Arc<App>, Stop) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), AppError>> + Send + 'static,
{
    app.health.set(name, Status::Starting);
    tokio::spawn(async move {
        let mut pause = FIRST_PAUSE;
        while !stop.requested() {
            let started = tokio::time::Instant::now();
            // A task of its own, so that a panic ends it and not its supervisor.
            let result = tokio::spawn(work(app.clone(), stop.clone())).await;
            let failure = match result {
                Ok(Ok(())) => break,
                Ok(Err(error)) => chain(&error),
                Err(panic) => format!("panicked: {panic}"),
            };
            tracing::error!(task = name, "failed, starting it again: {failure}");
            app.health.set(name, Status::Failed(failure));
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if !stop.sleep(pause).await {
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
}
