//! How a run begins and is continued, by one process or as one of several.

use std::path::{Path, PathBuf};

use mlcls_engine::Weights;

use super::Run;
use crate::cards;
use crate::config::{Config, Layers};
use crate::dataset::open_dataset;
use crate::error::Result;
use crate::event::EventSink;
use crate::run_dir::RunDir;
use crate::setup::{Setup, build_model};
use crate::state::SavedState;
use crate::stop::StopFlag;
use crate::summary::RunSummary;
use crate::world::{Placement, World};

/// Trains by the settings into a new run folder.
///
/// The folder is complete (`config.yaml`, `dataset.json`, `environment.json`) before the first step. A run that was
/// interrupted, or killed, is continued by [`resume`].
///
/// # Errors
/// Data, settings or weights that cannot be used; a file that cannot be written; a loss that is not finite. What was saved
/// before stays whole.
pub fn train(config: &Config, dir: &RunDir, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
    train_together(&Placement::alone(), config, || Ok(dir.clone()), sink, stop)
}

/// [`train`] as one of several processes: each takes its share of the images of every batch and of the validation, and all follow
/// the sum of their gradients. `train.batch_size` is that of one process, so that N of them go where one goes with
/// `optim.accumulate` N times as large; batch-norm takes its statistics in each process, and keeps the mean of them.
///
/// All processes must make this call with the same settings and data. Rank 0 alone makes the run folder, by `new_dir`, writes, and
/// tells its sink. Asked to stop, one of them stops all.
///
/// ```no_run
/// use std::path::{Path, PathBuf};
/// use mlcls_train::{Layers, Placement, RunDir, StopFlag, train_together};
///
/// # fn main() -> mlcls_train::Result<()> {
/// let config = Layers::new().set("data.root=photos")?.set("train.device=cuda")?.resolve()?;
/// let placement = Placement::from_env()?.unwrap_or(Placement::alone());
/// let new_dir = || RunDir::create_next(Path::new("runs"), "train");
/// train_together(&placement, &config, new_dir, &mut (), &StopFlag::default())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`train`]; or a process does not come, is started for something else, or is lost on the way.
pub fn train_together(
    placement: &Placement,
    config: &Config,
    new_dir: impl FnOnce() -> Result<RunDir>,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    let dir = (placement.rank() == 0).then(new_dir).transpose()?;
    let dataset = open_dataset(config)?;
    let model = build_model(config, dataset.labels.len())?;
    let setup = Setup::new(config.at_absolute_root()?, &dataset, model, placement)?;
    let world = World::join(placement, fingerprint(&setup, None))?;
    start(setup, world, dir, sink, stop)
}

/// Continues a run from its last saved state, bit for bit as if it had never stopped.
///
/// # Errors
/// The folder is no run, the run is over, its data set has changed, or its state cannot be read.
pub fn resume(run: &Path, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
    resume_together(&Placement::alone(), run, sink, stop)
}

/// [`resume`] as one of as many processes as there were; all must see the run folder.
///
/// # Errors
/// As [`resume`] and [`train_together`].
pub fn resume_together(
    placement: &Placement,
    run: &Path,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    let dir = RunDir::open(run)?;
    let config = Layers::new().file(&dir.config())?.resolve()?;
    let dataset = open_dataset(&config)?;
    let model = build_model(&config, dataset.labels.len())?;
    let setup = Setup::new(config, &dataset, model, placement)?;
    let saved = saved_state(&dir)?;
    let world = World::join(placement, fingerprint(&setup, saved.as_ref()))?;
    continue_run(setup, world, dir, saved, sink, stop)
}

/// Of everything that must agree between processes; where the data lie need not.
fn fingerprint(setup: &Setup, saved: Option<&SavedState>) -> u64 {
    let mut config = setup.config.clone().into_raw();
    (config.data.root, config.data.cache_file) = (None, None);
    let progress = saved.map(|saved| &saved.progress);
    let mut hasher = blake3::Hasher::new();
    for text in [format!("{config:?}"), setup.summary.fingerprint.clone(), format!("{progress:?}")] {
        hasher.update(text.as_bytes()).update(&[0]);
    }
    u64::from_be_bytes(hasher.finalize().as_bytes().as_chunks().0[0])
}

/// `None` if the run was stopped before its first state was saved.
pub(super) fn saved_state(dir: &RunDir) -> Result<Option<SavedState>> {
    let path = dir.state();
    path.exists().then(|| SavedState::open(&path)).transpose()
}

/// The first of the processes has the folder.
pub(super) fn start(
    setup: Setup,
    mut world: World,
    dir: Option<RunDir>,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    let mut nobody = ();
    let sink = if world.is_first() { sink } else { &mut nobody };
    setup.announce(sink);
    let mut weights = match &dir {
        Some(_) => setup.initial_weights(sink)?, // may fail, and a run folder is then of no use
        None => Weights::init(&setup.model.graph, 0), // overwritten
    };
    world.broadcast_f32(&mut weights.params)?;
    world.broadcast_f32(&mut weights.buffers)?;
    if let Some(dir) = &dir {
        cards::write(dir, &setup)?;
    }
    let dir = shared_dir(dir, &mut world)?;
    let mut run = Run::new(&setup, world, &dir, weights, 0, sink, stop)?;
    run.save_state()?;
    run.go()
}

pub(super) fn continue_run(
    setup: Setup,
    world: World,
    dir: RunDir,
    saved: Option<SavedState>,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    let Some(saved) = saved else {
        let dir = world.is_first().then_some(dir);
        return start(setup, world, dir, sink, stop);
    };
    let mut nobody = ();
    let sink = if world.is_first() { sink } else { &mut nobody };
    setup.announce(sink);
    let weights = Weights::init(&setup.model.graph, 0); // overwritten
    let mut run = Run::new(&setup, world, &dir, weights, saved.progress.metrics_len, sink, stop)?;
    run.restore(&saved)?;
    run.go()
}

/// The first process's folder, for all to name.
fn shared_dir(dir: Option<RunDir>, world: &mut World) -> Result<RunDir> {
    let mut path = dir.as_ref().map_or(vec![], |dir| dir.path().to_string_lossy().into_owned().into_bytes());
    world.broadcast(&mut path)?;
    let there = || RunDir::elsewhere(PathBuf::from(String::from_utf8_lossy(&path).into_owned()));
    Ok(dir.unwrap_or_else(there))
}
