//! What a run writes while it goes, and reads to continue.

use std::path::Path;

use super::Run;
use crate::checkpoint::{Checkpoint, MetricValue};
use crate::ema::Ema;
use crate::ema::WeightsKind;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::history::Row;
use crate::learner::Learner;
use crate::state::{self, SavedState};

impl Run<'_> {
    /// Adds a row and saves the state that it belongs to.
    pub(super) fn write_row(&mut self, row: &Row) -> Result<()> {
        if let Some(history) = &mut self.history {
            history.push(row)?;
            self.progress.metrics_len = history.len();
        }
        self.save_state()?;
        self.sink.event(&Event::EpochEnd(row.clone()));
        Ok(())
    }

    /// Writes a checkpoint of one of the sets of weights, in the first process.
    pub(super) fn save_checkpoint(
        &mut self,
        path: &Path,
        kind: WeightsKind,
        epoch: usize,
        metric: Option<MetricValue>,
    ) -> Result<()> {
        if !self.world.is_first() {
            return Ok(());
        }
        let mut info = self.setup.checkpoint_info();
        (info.epoch, info.weights, info.metric) = (epoch, kind, metric);
        Checkpoint::save(path, &self.setup.model, self.learner.weights_of(kind), &info)?;
        self.sink.event(&Event::Saved { path: path.to_owned() });
        Ok(())
    }

    /// Saves everything that the next step depends on, in the first process; it is the same in all.
    pub(super) fn save_state(&mut self) -> Result<()> {
        if !self.world.is_first() {
            return Ok(());
        }
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.flush()?;
        }
        self.learner.fetch()?;
        let Learner { weights, optimizer, ema, .. } = &self.learner;
        self.progress.ema_updates = ema.as_ref().map_or(0, Ema::updates);
        let mut vectors =
            vec![("params".to_owned(), &weights.params[..]), ("buffers".to_owned(), &weights.buffers[..])];
        for (name, values) in optimizer.vectors() {
            vectors.push((format!("optimizer.{name}"), values));
        }
        if let Some(ema) = ema {
            vectors.push(("ema.params".to_owned(), &ema.weights().params));
            vectors.push(("ema.buffers".to_owned(), &ema.weights().buffers));
        }
        state::save(&self.dir.state(), &self.progress, &vectors)
    }

    /// Takes over a saved state.
    pub(super) fn restore(&mut self, saved: &SavedState) -> Result<()> {
        let progress = saved.progress.clone();
        if progress.data_fingerprint != self.progress.data_fingerprint {
            let reason = "the data set has changed since the run started, so it cannot be continued exactly; \
                          start a new run from its checkpoint (model.pretrained)";
            return Err(Error::Resume { run: self.dir.path().to_owned(), reason: reason.to_owned() });
        }
        let (then, now) = (progress.processes, self.world.size());
        if then != now {
            let reason =
                format!("its batches are shared by {then} processes, and now there are {now}; start {then}");
            return Err(Error::Resume { run: self.dir.path().to_owned(), reason });
        }
        let Learner { weights, optimizer, ema, .. } = &mut self.learner;
        saved.fill("params", &mut weights.params)?;
        saved.fill("buffers", &mut weights.buffers)?;
        for (name, values) in optimizer.vectors_mut() {
            saved.fill(&format!("optimizer.{name}"), values)?;
        }
        optimizer.set_steps(progress.steps);
        if let Some(ema) = ema {
            let average = ema.weights_mut();
            saved.fill("ema.params", &mut average.params)?;
            saved.fill("ema.buffers", &mut average.buffers)?;
            ema.set_updates(progress.ema_updates);
        }
        self.progress = progress;
        let steps_done = self.progress.batches_done.div_ceil(self.setup.config.optim.accumulate);
        self.sink.event(&Event::Resumed { epoch: self.progress.epochs_done + 1, steps_done });
        Ok(())
    }
}
