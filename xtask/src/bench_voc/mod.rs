//! `cargo xtask bench-voc`: the table of mAP for OTX's three models on its three data sets, beside OTX's numbers.
//!
//! Every cell is trained and measured by the binary `mlcls`, as a user would do it. What is finished is kept: an interrupted
//! bench goes on where it stopped. A cell that lacks its data or weights says what to download, and the others run.

mod cell;
mod datasets;
mod layout;
mod measure;
mod mlcls;
mod places;
mod ready;
mod record;
mod smoke;
mod table;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::shell;
use cell::{Outcome, Run};
use datasets::{DataSet, PUBLISHED};
use mlcls::{Device, Mlcls, Precision};
use places::Places;
use record::{CellKey, Missing, Results};

/// The models of OTX's table, by our names.
const MODELS: [&str; 3] = ["mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s"];

/// Which cells of the table, and how.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of data sets, each as its makers publish it in a folder of its name.
    #[arg(long, value_name = "DIR", required_unless_present = "smoke", conflicts_with = "smoke")]
    data: Option<PathBuf>,
    /// Models, by our names, timm's or OTX's [default: mobilenet_v3_large,efficientnet_b0,efficientnet_v2_s]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// Data sets, or any other folders under --data [default: voc2007,coco2014,aerial]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    datasets: Vec<String>,
    /// Recipe of mlcls.
    #[arg(long, value_name = "NAME", default_value = "table")]
    recipe: String,
    /// Runs of each cell, with seeds from 0 [default: 3; of --smoke 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Where to compute: cpu, cuda or cuda:1.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// Numbers to compute in on a GPU [default: bf16]
    #[arg(long, value_name = "NAME", value_enum)]
    precision: Option<Precision>,
    /// Most epochs, in place of the recipe's.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Change a setting of the recipe, as in `mlcls train`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// First weights of a model, a name or a file [default: those that mlcls takes]
    #[arg(long, value_name = "MODEL=WEIGHTS")]
    pretrained: Vec<String>,
    /// Folder of runs, by which an interrupted bench goes on [default: target/bench-voc]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Where the table goes, as Markdown, and beside it as JSON [default: docs/results/voc.md; of --smoke in --work]
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// A built mlcls [default: built from this source]
    #[arg(long, value_name = "FILE")]
    mlcls: Option<PathBuf>,
    /// Run everything on a drawn data set, from random first weights for two epochs: under a minute on a CPU.
    #[arg(long)]
    smoke: bool,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    ensure!(
        args.device != Device::Cpu || args.precision.is_none(),
        "--precision is for GPUs, as processors compute in fp32; leave it out, or give --device cuda"
    );
    let work = args.work.clone().unwrap_or_else(|| shell::target().join("bench-voc"));
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let mlcls = Mlcls::new(args.mlcls.as_deref(), args.device, lock(&work)?)?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None => smoke::draw(&mlcls, &work)?,
    };
    let places = Places::new(&data, &work)?;
    let default_results =
        if args.smoke { work.join("smoke.md") } else { shell::root().join("docs/results/voc.md") };
    let path = args.results.clone().unwrap_or(default_results);
    let json = path.with_extension("json");
    let mut results = Results::load(&json)?;
    let save = |results: &Results| -> Result<()> {
        shell::save(&json, &results.to_json())?;
        let command = shell::command_line(std::env::args().skip(1));
        shell::save(&path, &table::markdown(results, &command))
    };

    let models = ready::models(&mlcls, args)?;
    let sets = sets(args);
    let weights: Vec<_> = models.iter().map(|model| ready::weights(&mlcls, args, model)).collect();
    let data: Vec<_> = sets.iter().map(|set| ready::data(&mlcls, &places, set)).collect();
    let mut not_run = vec![];
    // All cells have a first number before any has a second.
    for seed in 0..args.seeds.unwrap_or(if args.smoke { 2 } else { 3 }) {
        for (set, data) in sets.iter().zip(&data) {
            for (model, weights) in models.iter().zip(&weights) {
                let key = key(args, set, model);
                println!("\n{}, {model}, {}, seed {seed}", set.title, key.recipe);
                let run = || -> Result<Outcome> {
                    let data = data.as_ref().map_err(|why| anyhow::anyhow!("{why:#}"))?;
                    let weights = weights.as_ref().map_err(|why| anyhow::anyhow!("{why:#}"))?;
                    Run { mlcls: &mlcls, places: &places, set, data, weights, key: key.clone(), seed }
                        .finish()
                };
                match run() {
                    Ok(Outcome::Done(record)) => {
                        let best = record.scores.first().map_or(0.0, |score| score.map);
                        println!("  done: mAP {best:.2}");
                        results.add(*record);
                    }
                    Ok(Outcome::Interrupted) => {
                        bail!("interrupted; the same command goes on where it stopped")
                    }
                    Err(error) => {
                        let why = places.short(&format!("{error:#}"));
                        println!("  not run: {why}");
                        not_run.push(format!("{} {model} seed {seed}", set.name));
                        results.add_missing(Missing { key, title: set.title.clone(), why });
                    }
                }
                save(&results)?;
            }
        }
    }
    println!("\n{}\n{}", table::table(&results), path.display());
    ensure!(not_run.is_empty(), "not run, and the table says why: {}", not_run.join(", "));
    Ok(())
}

/// One bench at a time may use the folder; a training that an earlier one left behind counts.
fn lock(work: &Path) -> Result<File> {
    let path = work.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another bench-voc, or a training that one left behind, still works in {}; wait for it, stop it, or give \
             another --work",
            work.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The data sets that the user named, or all.
fn sets(args: &Args) -> Vec<DataSet> {
    let drawn: Vec<DataSet> = if args.smoke { smoke::datasets().into() } else { vec![] };
    let all = if args.smoke { &smoke::NAMES[..] } else { &PUBLISHED };
    let named: Vec<&str> = args.datasets.iter().map(String::as_str).collect();
    let wanted = if named.is_empty() { all } else { &named };
    let set = |name: &&str| {
        drawn.iter().find(|set| set.name == *name).cloned().unwrap_or_else(|| DataSet::named(name))
    };
    wanted.iter().map(set).collect()
}

fn key(args: &Args, set: &DataSet, model: &str) -> CellKey {
    CellKey {
        dataset: set.name.clone(),
        model: model.to_owned(),
        recipe: args.recipe.clone(),
        changes: args.changes(),
        device: args.device.to_string(),
        precision: args.precision().map(|precision| precision.name().to_owned()),
    }
}

impl Args {
    /// The precision, always named where there is a choice: a default may change.
    fn precision(&self) -> Option<Precision> {
        (self.device != Device::Cpu).then(|| self.precision.unwrap_or(Precision::Bf16))
    }

    /// The models that the user named, or those of the table.
    fn models(&self) -> Vec<&str> {
        let all: &[&str] = if self.smoke { &MODELS[..1] } else { &MODELS };
        if self.models.is_empty() { all.to_vec() } else { self.models.iter().map(String::as_str).collect() }
    }

    /// Settings that differ from the recipe's.
    fn changes(&self) -> Vec<String> {
        let smoke = smoke::CHANGES.iter().filter(|_| self.smoke).map(|change| (*change).to_owned());
        let epochs = self.epochs.or(self.smoke.then_some(2));
        smoke.chain(epochs.map(|n| format!("train.epochs={n}"))).chain(self.set.iter().cloned()).collect()
    }
}
