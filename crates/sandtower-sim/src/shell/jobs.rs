//! What runs in the background.

use tokio::{select, task::JoinSet};

use crate::files::Files;

/// Commands of one shell that run in the background at a time.
const MAX_JOBS: usize = 64;

/// What runs in the background of a shell.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Those that keep its outputs open.
    attached: JoinSet<()>,
    detached: JoinSet<()>,
    started: u32,
}

impl Jobs {
    /// The number of the next job, unless there are too many.
    pub(super) fn next(&mut self, shell: u32) -> Option<u32> {
        while self.attached.try_join_next().is_some() || self.detached.try_join_next().is_some() {}
        let running = self.attached.len() + self.detached.len();
        self.started = self.started.wrapping_add(1);
        (running < MAX_JOBS).then(|| shell.wrapping_add(self.started))
    }

    pub(super) fn spawn(
        &mut self,
        attached: bool,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        // Boxed: a job may start jobs, and a future cannot hold itself.
        let task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        let jobs = if attached { &mut self.attached } else { &mut self.detached };
        jobs.spawn(task);
    }

    pub(super) async fn wait(&mut self) {
        while self.attached.join_next().await.is_some() {}
        while self.detached.join_next().await.is_some() {}
    }

    /// Waits for those that keep the outputs open; the others go on by themselves.
    pub(super) async fn outlive(&mut self, files: &Files) {
        while self.attached.join_next().await.is_some() {}
        if self.detached.is_empty() {
            return;
        }
        let (mut left, files) = (std::mem::take(&mut self.detached), files.clone());
        tokio::spawn(async move {
            select! {
                () = files.ended() => {}
                () = async { while left.join_next().await.is_some() {} } => {}
            }
        });
    }
}
