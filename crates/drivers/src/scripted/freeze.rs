//! Containers that are frozen: their programs are not run until they are thawed. Their timers go on, as those of processes
//! do that are halted.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Shared, lock};
use crate::{Error, Exit};

/// Runs `program`, but not while it is `frozen`.
pub(super) async fn unless_frozen(program: impl Future<Output = Exit>, mut frozen: watch::Receiver<bool>) -> Exit {
    let mut program = pin!(program);
    loop {
        // Without its switch it is being removed, which is seen to elsewhere.
        frozen.wait_for(|frozen| !frozen).await.ok();
        tokio::select! {
            biased;
            Ok(_) = frozen.wait_for(|frozen| *frozen) => {}
            exit = &mut program => return exit,
        }
    }
}

impl Shared {
    /// Freezes a container, or thaws it. As on a real engine it has to run, and to be the other of the two.
    pub(super) async fn turn(&self, id: &str, freeze: bool) -> Result<(), Error> {
        let operation = if freeze { "pause the container" } else { "unpause the container" };
        let refused = |message: &str| Error::Engine { operation, message: message.to_owned(), source: None };
        self.answering()?;
        let script = lock(&self.running).get(id).map(|switch| Arc::clone(&switch.script));
        let script = script.ok_or_else(|| refused("it does not run"))?;
        let step = if freeze { &script.freeze } else { &script.thaw };
        step.run().await?;
        let running = lock(&self.running);
        let switch = running.get(id).ok_or_else(|| refused("it does not run"))?;
        if switch.frozen.send_replace(freeze) == freeze {
            return Err(refused(if freeze { "it is paused already" } else { "it is not paused" }));
        }
        self.record(|ledger| if freeze { ledger.freeze(id) } else { ledger.thaw(id) });
        Ok(())
    }
}
