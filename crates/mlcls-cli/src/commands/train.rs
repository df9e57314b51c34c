//! `mlcls train`: a run from its first line to its last.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mlcls_train::{
    DryRun, EventSink, Layers, Outcome, Placement, RunDir, RunSummary, StopFlag, open_dataset,
};

use super::settings::Settings;
use crate::ui::{duration, progress};

/// Exit code of a run that Ctrl-C ended: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Train a model, or continue a run.
///
/// DATA has a train and a val split, in any form that mlcls reads: Datumaro, COCO, PASCAL VOC, Roboflow, CSV, a
/// folder per label. Settings come from a recipe; `mlcls config show` prints them all. Started several times by
/// `torchrun --no-python` or `srun`, the processes share each step's images, one GPU each.
#[derive(clap::Args)]
pub struct Args {
    /// Data set to train on.
    #[arg(value_name = "DATA", required_unless_present = "resume")]
    data: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Folder of the run; new or empty [default: runs/train, runs/train2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in this folder, bit for bit as if it had not stopped.
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["data", "out", "model", "recipe", "config", "set", "pretrained", "epochs", "batch_size",
            "image_size", "lr", "freeze", "seed", "device", "precision", "limit", "tensorboard", "dry_run"]
    )]
    resume: Option<PathBuf>,
    /// Read the data, build the model, run one batch forward and backward, say what a run would take, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print every event as a line of JSON.
    #[arg(long)]
    json: bool,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let placement = Placement::from_env()?.unwrap_or(Placement::alone());
    share_cores(&placement);
    let stop = stop_on_ctrl_c(&placement)?;
    let mut sink: Box<dyn EventSink> =
        if placement.rank() == 0 { progress::sink(args.json) } else { Box::new(()) };
    let summary = match (&args.resume, &args.data) {
        (Some(run), _) => mlcls_train::resume_together(&placement, run, &mut *sink, &stop)?,
        (None, Some(data)) => {
            let layers = with_data(args.settings.layers()?, data)?;
            let config = layers.resolve()?;
            if args.dry_run {
                let processes = placement.size();
                ensure!(processes == 1, "--dry-run looks at one process, and {processes} were started");
                print_dry_run(&mlcls_train::dry_run(&config, &mut *sink)?, args.json)?;
                return Ok(ExitCode::SUCCESS);
            }
            config.device().check()?;
            let mut made = None;
            let new_dir = || {
                let dir = match &args.out {
                    Some(path) => RunDir::create(path)?,
                    None => RunDir::create_next(Path::new("runs"), "train")?,
                };
                Ok(made.insert(dir).clone())
            };
            mlcls_train::train_together(&placement, &config, new_dir, &mut *sink, &stop)
                .inspect_err(|_| made.iter().for_each(remove_if_unused))?
        }
        (None, None) => unreachable!("clap asks for DATA where --resume is absent"),
    };
    if placement.rank() > 0 {
        // Rank 0 has said it all.
    } else if args.json {
        writeln!(stdout(), "{}", serde_json::json!({ "event": "summary", "summary": summary }))?;
    } else {
        print_summary(&summary)?;
        if summary.outcome != Outcome::Interrupted {
            print_next(&RunDir::open(&summary.dir)?)?;
        }
    }
    Ok(match summary.outcome {
        Outcome::Interrupted => ExitCode::from(INTERRUPTED),
        Outcome::Completed | Outcome::StoppedEarly => ExitCode::SUCCESS,
    })
}

/// Gives each of several processes on a host as many threads as it has cores for; `RAYON_NUM_THREADS` says otherwise.
fn share_cores(placement: &Placement) {
    if placement.local_size() > 1 && std::env::var_os("RAYON_NUM_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / placement.local_size()).max(1);
        // Nothing has run in the pool yet, and with more threads it would only be slower.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}

fn print_dry_run(dry: &DryRun, json: bool) -> Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({ "event": "dry_run", "dry_run": dry }))?;
        return Ok(());
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let memory = &dry.memory;
    writeln!(
        out,
        "one batch of {}: loss {:.4}, gradient norm {:.3}",
        dry.images, dry.loss, dry.gradient_norm
    )?;
    writeln!(out, "  device  {}", dry.device)?;
    writeln!(out, "  data    {:.3} s to decode and augment", dry.data_seconds)?;
    writeln!(out, "  step    {:.3} s, {:.1} img/s", dry.step_seconds, dry.images as f64 / dry.step_seconds)?;
    writeln!(out, "  epoch   {} without validation", duration(dry.epoch_seconds))?;
    writeln!(out, "  run     {} if it uses all its epochs", duration(dry.run_seconds))?;
    writeln!(
        out,
        "  memory  {:.0} MB, and up to {:.0} MB of decoded images",
        megabytes(memory.fixed()),
        megabytes(memory.cache)
    )?;
    writeln!(out, "nothing was written")?;
    Ok(())
}

/// Adds the data set: as an absolute path, so that the run can be continued from another folder.
pub fn with_data(layers: Layers, data: &Path) -> Result<Layers> {
    let root = std::path::absolute(data).with_context(|| format!("cannot use {}", data.display()))?;
    let root = root.to_str().with_context(|| format!("{} is not UTF-8", data.display()))?;
    Ok(layers.flag("DATA", "data.root", root))
}

/// A flag that Ctrl-C raises; a second Ctrl-C ends the process at once.
pub fn stop_on_ctrl_c(placement: &Placement) -> Result<StopFlag> {
    let stop = StopFlag::default();
    let handle = stop.clone();
    // A launcher hands Ctrl-C on to processes that have heard it from the terminal.
    let echo = if placement.size() > 1 { Duration::from_secs(1) } else { Duration::ZERO };
    let says = placement.rank() == 0;
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || match first {
        None => {
            first = Some(Instant::now());
            handle.request();
            if says {
                let _ = writeln!(std::io::stderr(), "\nstopping after this step; Ctrl-C again stops at once");
            }
        }
        Some(first) if first.elapsed() < echo => {}
        Some(_) => std::process::exit(i32::from(INTERRUPTED)),
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Takes away the folders of a run that failed before it wrote anything; folders with something in them stay.
pub fn remove_if_unused(dir: &RunDir) {
    for folder in [dir.path().join("checkpoints"), dir.path().join("state"), dir.path().to_owned()] {
        let _ = fs::remove_dir(folder);
    }
}

/// What the run came to, where everything is, and what to type next.
pub fn print_summary(summary: &RunSummary) -> Result<()> {
    let mut out = stdout().lock();
    let dir = RunDir::open(&summary.dir)?;
    writeln!(out)?;
    match summary.outcome {
        Outcome::Completed => writeln!(out, "done: {} epochs", summary.epochs)?,
        Outcome::StoppedEarly => {
            writeln!(out, "stopped early after {} epochs: no more gain", summary.epochs)?
        }
        Outcome::Interrupted => {
            writeln!(out, "interrupted after {} whole epochs; all is saved", summary.epochs)?;
            writeln!(out, "continue:     mlcls train --resume {}", dir.path().display())?;
            return Ok(());
        }
    }
    if let (Some(best), Some(metric)) = (&summary.best, &summary.metric) {
        let weights = best.weights.name();
        writeln!(
            out,
            "best:         epoch {}, {} {:.2} on `{}` ({weights} weights)",
            best.epoch, metric.name, metric.value, metric.split
        )?;
        writeln!(out, "definition:   {}", metric.definition)?;
    }
    if !summary.weakest.is_empty() {
        let weak: Vec<String> = summary
            .weakest
            .iter()
            .map(|w| format!("{} {:.1} ({} positives)", w.label, w.ap, w.positives))
            .collect();
        writeln!(out, "weakest (AP): {}", weak.join(", "))?;
    }
    writeln!(out, "best weights: {}", dir.best().display())?;
    writeln!(out, "last weights: {}", dir.last().display())?;
    if dir.ema().exists() {
        writeln!(out, "averaged:     {}", dir.ema().display())?;
    }
    writeln!(out, "curves:       {}", dir.metrics().display())?;
    if dir.tensorboard().exists() {
        writeln!(out, "              tensorboard --logdir {}", dir.tensorboard().display())?;
    }
    Ok(())
}

/// The command that one types after a run that is over.
fn print_next(dir: &RunDir) -> Result<()> {
    let config = Layers::new().file(&dir.config())?.resolve()?;
    let root = config.data.root.clone().unwrap_or_default();
    let splits = open_dataset(&config)?.splits;
    let split = if splits.iter().any(|s| s.name == "test") { "test" } else { config.data.val.as_str() };
    writeln!(
        stdout(),
        "next:         mlcls eval {} {} --split {split}",
        dir.best().display(),
        root.display()
    )?;
    Ok(())
}
