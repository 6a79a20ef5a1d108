//! Work that an operator asks for and that may take longer than a connection lives: it goes on by itself, one at a
//! time, and what came of it is kept until the next one or the end of the process.

use super::clock;
use super::verify::Walked;
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use proto_model::UnixMicros;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Whoever asked waits for so long; most journals take less.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub enum Stage<T> {
    Never,
    Running {
        since: UnixMicros,
        /// Batches of the journal that it has seen.
        walked: Arc<Walked>,
    },
    /// What came of it, or why nothing did.
    Ended {
        started_at: UnixMicros,
        at: UnixMicros,
        result: Result<T, String>,
    },
}

impl<T> Stage<T> {
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

pub struct Job<T>(Arc<watch::Sender<Stage<T>>>);

impl<T> Default for Job<T> {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Never)))
    }
}

impl<T: Clone + Send + Sync + 'static> Job<T> {
    pub fn stage(&self) -> Stage<T> {
        self.0.borrow().clone()
    }

    /// Begins `work` and waits a while for its end. `Err` = it runs already, since somebody else asked.
    pub async fn run<F>(
        &self,
        mut stop: Stop,
        work: impl FnOnce(Arc<Walked>) -> F,
    ) -> Result<Stage<T>, Stage<T>>
    where
        F: Future<Output = Result<T, AppError>> + Send + 'static,
    {
        let (since, walked) = (clock::now(), Arc::new(Walked::default()));
        let running = Stage::Running { since, walked: walked.clone() };
        let began = self.0.send_if_modified(|stage| {
            let free = !stage.is_running();
            if free {
                *stage = running;
            }
            free
        });
        if !began {
            return Err(self.stage());
        }
        let mut seen = self.0.subscribe();
        let (stages, work) = (self.0.clone(), work(walked));
        tokio::spawn(async move {
            // A task of its own, so that a panic ends it alone.
            let mut work = tokio::spawn(work);
            let result = tokio::select! {
                ended = &mut work => match ended {
                    Ok(result) => result.map_err(|error| chain(&error)),
                    Err(panic) => Err(format!("panicked: {panic}")),
                },
                () = stop.wait() => {
                    work.abort();
                    Err("the control plane was stopped".to_owned())
                }
            };
            stages.send_replace(Stage::Ended { started_at: since, at: clock::now(), result });
        });
        let ended = seen.wait_for(|stage| !stage.is_running());
        let _ = tokio::time::timeout(PATIENCE, ended).await;
        Ok(self.stage())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_goes_on_without_whoever_asked_and_one_at_a_time() {
        let (_stopper, stop) = Stop::channel();
        let job = Job::<u8>::default();
        let (finish, finished) = oneshot::channel::<()>();
        let mut ended = job.0.subscribe();
        {
            let asked = job.run(stop.clone(), |walked| async move {
                walked.fetch_add(3, Ordering::Relaxed);
                let _ = finished.await;
                Ok(7)
            });
            tokio::pin!(asked);
            tokio::select! {
                biased;
                _ = &mut asked => panic!("it has not ended"),
                _ = ended.wait_for(Stage::is_running) => {}
            }
            // The request is dropped here.
        }
        let second = job.run(stop.clone(), |_| async { Ok(8) }).await;
        assert!(second.is_err_and(|stage| stage.is_running()));
        finish.send(()).unwrap();
        ended.wait_for(|stage| matches!(stage, Stage::Ended { result: Ok(7), .. })).await.unwrap();

        let failed = job.run(stop.clone(), |_| async { Err(AppError::NotFound("journal")) }).await.unwrap();
        assert!(matches!(failed, Stage::Ended { result: Err(_), .. }), "{failed:?}");
        let panics = job.run(stop, |_| async { panic!("lost") }).await.unwrap();
        assert!(matches!(panics, Stage::Ended { result: Err(why), .. } if why.contains("panicked")));
    }

    #[tokio::test]
    async fn it_ends_with_the_process() {
        let (stopper, stop) = Stop::channel();
        let job = Job::<u8>::default();
        stopper.send_replace(true);
        let stage = job.run(stop, |_| std::future::pending()).await.unwrap();
        assert!(matches!(stage, Stage::Ended { result: Err(_), .. }), "{stage:?}");
    }
}
