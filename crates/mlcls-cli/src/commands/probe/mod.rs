//! `mlcls probe`: a head on a frozen backbone, and what it says about the data.

mod said;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mlcls_data::{Dataset, Resize, Split};
use mlcls_metrics::{Calibration, Scores, suspected_label_errors};
use mlcls_models::{Pretrained, write_atomic};
use mlcls_probe::{
    Backbone, BackboneOptions, CrossValidation, FeatureCache, Features, LearningCurve, ProbeHead, checkpoint,
    cross_validate, extract, fit, learning_curve, logits,
};
use mlcls_train::{Checkpoint, DEFAULT_MODEL, EvalOptions, RunDir, evaluate_logits};
use serde::Serialize;

use super::data::Source;
use super::eval::EvalReport;
use super::report::save_list;
use super::train::remove_if_unused;
use crate::ui::progress::with_bar;

/// Train a head on a frozen backbone, in seconds: what can be learnt, would more data help, which answers are wrong?
///
/// Features of all images are computed once and kept in a cache by the content of the files, so the next probe takes seconds.
/// The result is a checkpoint like any other.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Backbone, by our name or timm's; `mlcls find` lists them.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MODEL)]
    backbone: String,
    /// Its weights: `auto` (downloaded once), a safetensors file, a checkpoint, or a timm weight name.
    #[arg(long, value_name = "WEIGHTS", default_value = "auto")]
    pretrained: String,
    /// Head to train.
    #[arg(long, value_name = "HEAD", value_enum, default_value = "logistic")]
    head: HeadName,
    /// Strength of the head, in place of the best in cross-validation: `C` of logistic regression, evaluations of a cosine.
    #[arg(long, value_name = "NUMBER", value_parser = positive)]
    strength: Option<f64>,
    /// Parts of the cross-validation on the training images.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u8).range(2..=50))]
    folds: u8,
    /// Train on 10, 25 and 50 % of the images too, and say what more may bring; writes a page with the curve.
    #[arg(long)]
    curve: bool,
    /// Split to train on.
    #[arg(long, value_name = "NAME", default_value = "train")]
    train: String,
    /// Split to evaluate on [default: test, else val]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Side of the square input in pixels.
    #[arg(long, value_name = "PIXELS", default_value = "224", value_parser = clap::value_parser!(u16).range(16..=2048))]
    image_size: u16,
    /// How images are resized. A frozen backbone wants what it was trained with, which is mostly `antialias`.
    #[arg(long, value_name = "HOW", value_enum, default_value = "antialias")]
    resize: ResizeName,
    /// Seed of folds and draws.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Folder of the result; new or empty [default: runs/probe, runs/probe2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the features [default: mlcls/features in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Neither use kept features nor keep any.
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which head.
#[derive(Clone, Copy, ValueEnum)]
enum HeadName {
    /// Logistic regression for each label.
    Logistic,
    /// Cosine with the asymmetric angular margin loss.
    Cosine,
}

/// How images are resized.
#[derive(Clone, Copy, ValueEnum)]
enum ResizeName {
    /// Two neighbours per axis, as OpenCV and OTX.
    Bilinear,
    /// All pixels count, as Pillow and torchvision.
    Antialias,
}

fn positive(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// What is printed, saved as `probe.json`.
#[derive(Serialize)]
struct Printed {
    backbone: &'static str,
    weights: Option<PathBuf>,
    features: usize,
    images: usize,
    cached: usize,
    seconds: Seconds,
    head: ProbeHead,
    cross_validation: CrossValidation,
    strength: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<LearningCurve>,
    suspected: usize,
    evaluation: EvalReport,
}

/// Where the time went.
#[derive(Default, Serialize)]
struct Seconds {
    extract: f64,
    cross_validate: f64,
    fit: f64,
    curve: f64,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dataset = args.source.open()?;
    let backbone = args.backbone()?;
    let cache = args.cache(&backbone)?;
    let dir = match &args.out {
        Some(path) => RunDir::create(path)?,
        None => RunDir::create_next(Path::new("runs"), "probe")?,
    };
    let printed =
        args.probe(&dataset, &backbone, cache.as_ref(), &dir).inspect_err(|_| remove_if_unused(&dir))?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&printed)?)?;
    } else {
        write!(out, "{}", said::text(&printed, &backbone, &dir, &args.source.root, cache.as_ref())?)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Trains a head, evaluates it, and writes everything into the folder.
    fn probe(
        &self,
        dataset: &Dataset,
        backbone: &Backbone,
        cache: Option<&FeatureCache>,
        dir: &RunDir,
    ) -> Result<Printed> {
        let train = dataset.require_split(&self.train)?;
        let split = dataset.require_split(self.evaluated(dataset)?)?;
        let mut seconds = Seconds::default();
        let features = |split: &Split| with_bar(|progress| extract(backbone, &split.items, cache, progress));
        let (learned, tested) =
            timed(&mut seconds.extract, || anyhow::Ok((features(train)?, features(split)?)))?;

        let head = match self.head {
            HeadName::Logistic => ProbeHead::Logistic,
            HeadName::Cosine => ProbeHead::Cosine,
        };
        let (folds, seed) = (self.folds.into(), self.seed);
        let found = timed(&mut seconds.cross_validate, || cross_validate(&learned, head, folds, seed))?;
        let strength = self.strength.unwrap_or(found.strength);
        let fitted = timed(&mut seconds.fit, || fit(&learned, head, strength))?;
        let checkpoint = checkpoint(backbone, head, &fitted, dataset, &found)?;
        Checkpoint::save(&dir.best(), &checkpoint.model, &checkpoint.weights, &checkpoint.info)?;

        let curve = self
            .curve
            .then(|| timed(&mut seconds.curve, || learning_curve(&learned, &tested, head, strength, seed)));
        let curve = curve.transpose()?;
        let logits = logits(&checkpoint, &tested)?;
        let answers = (tested.targets.as_slice(), tested.mask.as_slice());
        let (options, took) = (EvalOptions::default(), seconds.extract);
        let evaluation = evaluate_logits(&checkpoint, &split.name, &options, logits, answers, took)?;
        let printed = Printed {
            backbone: backbone.name(),
            weights: backbone.source().cloned(),
            features: backbone.width(),
            images: learned.len() + tested.len(),
            cached: learned.cached + tested.cached,
            seconds,
            head,
            suspected: suspects(dir, &learned, &found, train, dataset)?,
            cross_validation: found,
            strength,
            curve,
            evaluation: EvalReport::new(&dir.best(), &checkpoint, dataset, evaluation),
        };
        save(dir, &printed)?;
        Ok(printed)
    }

    /// The split to evaluate on.
    fn evaluated<'a>(&'a self, dataset: &Dataset) -> Result<&'a str> {
        if let Some(split) = &self.split {
            return Ok(split);
        }
        match ["test", "val"].into_iter().find(|name| dataset.split(name).is_some() && *name != self.train) {
            Some(name) => Ok(name),
            None => bail!(
                "{}: there is no split `test` or `val` to evaluate on; make one with: mlcls data split {} --val 0.2 --out NEW",
                dataset.root.display(),
                dataset.root.display()
            ),
        }
    }

    fn backbone(&self) -> Result<Backbone> {
        let options = BackboneOptions {
            name: self.backbone.clone(),
            pretrained: Pretrained::from(self.pretrained.as_str()),
            size: self.image_size.into(),
            resize: match self.resize {
                ResizeName::Bilinear => Resize::Bilinear,
                ResizeName::Antialias => Resize::Antialias,
            },
        };
        Ok(with_bar(|progress| {
            Backbone::open(&options, &mut |done, all| progress(done as usize, all as usize))
        })?)
    }

    fn cache(&self, backbone: &Backbone) -> Result<Option<FeatureCache>> {
        if self.no_cache {
            return Ok(None);
        }
        let folder = match &self.cache {
            Some(folder) => folder.clone(),
            None => user_cache().context(
                "there is no home folder to keep features in; name one with --cache, or use --no-cache",
            )?,
        };
        let name = format!("{}-{}.features", backbone.name(), &backbone.fingerprint().to_hex()[..16]);
        Ok(Some(FeatureCache::new(folder.join(name), backbone.width())))
    }
}

/// `XDG_CACHE_HOME`, or `.cache` at home.
fn user_cache() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    Some(set.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("mlcls").join("features"))
}

fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    *seconds = start.elapsed().as_secs_f64();
    done
}

/// Writes the answers of the training images that heads which had not seen them doubt; tells how many.
fn suspects(
    dir: &RunDir,
    learned: &Features,
    found: &CrossValidation,
    train: &Split,
    dataset: &Dataset,
) -> Result<usize> {
    let scores = Calibration::None.scores(&found.logits, dataset.labels.len());
    let scores = Scores::new(&scores, &learned.targets, &learned.mask, dataset.labels.len())?;
    let suspects = suspected_label_errors(&scores);
    save_list(&said::doubtful(dir), &suspects, &train.items, &dataset.labels)?;
    Ok(suspects.len())
}

/// Writes everything that is printed, and the page of the curve.
fn save(dir: &RunDir, printed: &Printed) -> Result<()> {
    let json = serde_json::to_string_pretty(printed)?;
    write_atomic(&dir.path().join("probe.json"), |file| file.write_all(json.as_bytes()))?;
    printed.evaluation.save()?;
    if let Some(curve) = &printed.curve {
        let page = said::page(printed, curve);
        write_atomic(&said::curve_page(dir), |file| file.write_all(page.as_bytes()))?;
    }
    Ok(())
}
