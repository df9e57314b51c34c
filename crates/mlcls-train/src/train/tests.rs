//! Runs on a tiny set: interrupted anywhere they end with the same bytes; bad states and losses are errors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlcls_data::Dataset;
use mlcls_models::WeightFile;

use super::start::{continue_run, saved_state, start};
use super::*;
use crate::checkpoint::MetricValue;
use crate::config::Config;
use crate::history::Validation;
use crate::state::SavedState;
use crate::tensorboard::tests::shown;
use crate::{state, testing};

/// Four recipes that between them use every kind of state.
const RECIPES: [&[&str]; 4] = [
    &["log.tensorboard=true"],
    &[
        "log.tensorboard=true",
        "eval.before_training=true",
        "optim.name=adamw",
        "optim.accumulate=2",
        "optim.clip_norm=0.5",
        "schedule.name=plateau",
        "optim.sam_rho=0",
    ],
    &["recipe=plateau", "schedule.patience=1", "train.early_stop=true", "optim.accumulate=3", "eval.every=2"],
    &["train.freeze=backbone", "train.freeze_epochs=2", "optim.accumulate=2"],
];

/// Does something at each event of a run.
pub(super) struct At<F: FnMut(usize, &Event)> {
    count: usize,
    act: F,
}

pub(super) fn at<F: FnMut(usize, &Event)>(act: F) -> At<F> {
    At { count: 0, act }
}

impl<F: FnMut(usize, &Event)> EventSink for At<F> {
    fn event(&mut self, event: &Event) {
        (self.act)(self.count, event);
        self.count += 1;
    }
}

pub(super) struct Case {
    folder: tempfile::TempDir,
    pub(super) dataset: Dataset,
    pub(super) config: Config,
}

impl Case {
    pub(super) fn new(changes: &[&str]) -> Self {
        Self::of(22, changes)
    }

    /// One with so many training images.
    pub(super) fn of(images: usize, changes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(&folder.path().join("data"), images, 8);
        Self { folder, dataset, config: testing::config(changes) }
    }

    fn setup(&self) -> Setup {
        testing::setup(self.config.clone(), &self.dataset).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn start(&self, name: &str, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
        let dir = RunDir::create(&self.path(name)).unwrap();
        start(self.setup(), World::alone(), Some(dir), sink, stop)
    }

    pub(super) fn resume(&self, name: &str, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
        let dir = RunDir::open(&self.path(name)).unwrap();
        let saved = saved_state(&dir)?;
        continue_run(self.setup(), World::alone(), dir, saved, sink, stop)
    }
}

/// All files of a finished run that must not depend on interruptions; times are taken out.
pub(super) fn outcome_of(run: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let read = |name: &str| fs::read(run.join(name)).unwrap();
    let csv = String::from_utf8(read("metrics.csv")).unwrap();
    let board = run.join("tensorboard");
    let board = if board.exists() { shown(&board) } else { String::new() };
    let rows: Vec<String> = csv
        .lines()
        .map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(9);
            cells.join(",")
        })
        .collect();
    BTreeMap::from([
        ("best", read("checkpoints/best.safetensors")),
        ("last", read("checkpoints/last.safetensors")),
        ("ema", read("checkpoints/ema.safetensors")),
        ("state", read("state/state.safetensors")),
        ("metrics", rows.join("\n").into_bytes()),
        ("config", read("config.yaml")),
        ("dataset", read("dataset.json")),
        ("tensorboard", board.into_bytes()),
    ])
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn interrupted_at_any_step_is_the_undisturbed_run() {
    for changes in RECIPES {
        let case = Case::new(changes);
        let whole = case.start("whole", &mut (), &StopFlag::default()).unwrap();
        assert_eq!(whole.outcome, Outcome::Completed);
        let expected = outcome_of(&case.path("whole"));

        // Stop after every step, so that each is done by another process as it were.
        let mut summary = None;
        for attempt in 0..100 {
            let stop = StopFlag::default();
            let mut sink = at(|_, event| {
                if matches!(event, Event::Step(_)) {
                    stop.request();
                }
            });
            let result = match attempt {
                0 => case.start("steps", &mut sink, &stop),
                _ => case.resume("steps", &mut sink, &stop),
            };
            let result = result.unwrap();
            if result.outcome != Outcome::Interrupted {
                summary = Some(result);
                break;
            }
        }
        let summary = summary.expect("every attempt does a step");
        assert_eq!((summary.best, summary.weakest), (whole.best, whole.weakest));
        assert!(outcome_of(&case.path("steps")) == expected, "{changes:?}");
    }
}

#[test]
fn killed_at_any_moment_is_the_undisturbed_run() {
    let case = Case::new(RECIPES[0]);
    // What lies on disk at each event is what a kill at that moment leaves.
    let (run, kept) = (case.path("whole"), case.path("kept"));
    let mut moments = 0;
    let mut sink = at(|count, _| {
        if run.join("config.yaml").exists() {
            copy_folder(&run, &kept.join(count.to_string()));
        }
        moments = count + 1;
    });
    case.start("whole", &mut sink, &StopFlag::default()).unwrap();
    let expected = outcome_of(&run);
    assert!(moments > 30, "{moments} events");

    for moment in fs::read_dir(&kept).unwrap().map(|e| e.unwrap().path()) {
        match case.resume(moment.to_str().unwrap(), &mut (), &StopFlag::default()) {
            Ok(_) => {}
            Err(e) => assert!(e.to_string().contains("nothing to continue"), "{e}"),
        }
        assert!(outcome_of(&moment) == expected, "{}", moment.display());
    }
}

#[test]
fn tensorboard_has_the_numbers_of_the_rows() {
    let case = Case::new(&["log.tensorboard=true", "eval.before_training=true"]);
    let mut rows = vec![];
    let mut sink = at(|_, event| {
        if let Event::EpochEnd(row) = event {
            rows.push(row.clone());
        }
    });
    case.start("run", &mut sink, &StopFlag::default()).unwrap();
    let text = shown(&case.path("run/tensorboard"));
    let has = |run: &str, step: usize, tag: &str, value: f64| {
        let start = format!("{run} {step} Value {{ tag: {tag:?}, ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {start}"));
        assert!(line.contains(&format!("SimpleValue({:?})", value as f32)), "{line} is not {value}");
    };
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let step = row.epoch * 6;
        for (tag, value) in [("loss", row.val_loss), ("mAP", row.map), ("CF1", row.cf1), ("OF1", row.of1)] {
            has("val", step, tag, value.unwrap());
        }
        if row.epoch > 0 {
            has("train", step, "lr", row.lr);
            has("val_ema", step, "mAP", row.ema_map.unwrap());
        }
    }
    let count = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!(count("tag: \"images/"), 4, "the images of the first batch");
    assert_eq!(count("tag: \"PR/micro\""), 4 + 3);
    assert_eq!(count("tag: \"PR_of_label/red\""), 4 + 3);
    assert_eq!(count("train"), 4 + 2 * 18, "images, and two numbers of each step");
}

#[test]
fn stopped_in_a_validation_it_validates_again() {
    let case = Case::new(&["eval.batch_size=1", "log.tensorboard=true"]);
    case.start("whole", &mut (), &StopFlag::default()).unwrap();
    let stop = StopFlag::default();
    let mut validations = 0;
    let mut sink = at(|_, event| {
        // Between the validation of the raw and that of the averaged weights, at the end of epoch 2.
        validations += usize::from(matches!(event, Event::Validated(_)));
        if validations == 3 {
            stop.request();
        }
    });
    let first = case.start("parts", &mut sink, &stop).unwrap();
    assert_eq!((first.outcome, first.epochs), (Outcome::Interrupted, 1));
    case.resume("parts", &mut (), &StopFlag::default()).unwrap();
    assert!(outcome_of(&case.path("parts")) == outcome_of(&case.path("whole")));
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let case = Case::new(RECIPES[0]);
    case.start("default", &mut (), &StopFlag::default()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        let dir = RunDir::create(&case.path("three")).unwrap();
        start(case.setup(), World::alone(), Some(dir), &mut (), &StopFlag::default()).unwrap();
    });
    assert!(outcome_of(&case.path("default")) == outcome_of(&case.path("three")));
}

#[test]
fn what_can_be_learnt_is_learnt() {
    let case = Case::new(&["train.epochs=15", "augment.ops=none", "train.ema=false"]);
    let mut rows = vec![];
    let mut sink = at(|_, event| {
        if let Event::EpochEnd(row) = event {
            rows.push(row.clone());
        }
    });
    let summary = case.start("run", &mut sink, &StopFlag::default()).unwrap();
    let best = summary.best.unwrap();
    assert!(best.value > 99.0, "{best:?}");
    assert!(rows[14].train_loss < rows[0].train_loss, "{rows:?}");
    let last = summary.metric.unwrap();
    assert_eq!((last.name.as_str(), last.split.as_str()), ("mAP", "val"));
    assert!(last.definition.starts_with('D'), "{}", last.definition);
}

/// The raw weights after a run with these changes, and those that it started from.
fn weights_of(changes: &[&str]) -> (Weights, Weights) {
    let case = Case::new(changes);
    case.start("run", &mut (), &StopFlag::default()).unwrap();
    let graph = &testing::model().graph;
    let file = WeightFile::open(&case.path("run/checkpoints/last.safetensors")).unwrap();
    (file.weights(graph).unwrap(), case.setup().initial_weights(&mut ()).unwrap())
}

#[test]
fn what_is_frozen_stays_and_trains_when_its_time_is_over() {
    let head = testing::model().graph.param_len_up_to(testing::model().graph.features());
    for name in ["optim.name=sgd", "optim.name=adamw"] {
        let (after, before) = weights_of(&["train.freeze=backbone", name]);
        assert_eq!(after.params[..head], before.params[..head], "{name}: also no decay");
        assert_eq!(after.buffers, before.buffers, "running statistics");
        let moved =
            |from: usize| after.params[from..].iter().zip(&before.params[from..]).any(|(a, b)| a != b);
        assert!(moved(head), "{name}: the head trains");
        let (after, before) = weights_of(&["train.freeze=backbone", "train.freeze_epochs=2", name]);
        assert!(after.params[..head].iter().zip(&before.params).all(|(a, b)| a != b), "{name}");
        assert_ne!(after.buffers, before.buffers);
    }
    let case = Case::new(&["train.freeze=backbone:1"]);
    let refused = testing::setup(case.config, &case.dataset).unwrap_err().to_string();
    assert!(refused.contains("`train.freeze` is backbone:1: efficientnet_b0 has 0 stages"), "{refused}");
}

#[test]
fn the_best_checkpoint_is_the_best_row_and_says_what_it_is() {
    let case = Case::new(&["train.epochs=4"]);
    let mut validations = vec![];
    let mut sink = at(|_, event| {
        if let Event::Validated(v) = event {
            validations.push(*v);
        }
    });
    let best = case.start("run", &mut sink, &StopFlag::default()).unwrap().best.unwrap();
    assert_eq!(validations.len(), 8, "raw and averaged weights, four times");
    let highest = validations.iter().map(|v| v.map).fold(f64::MIN, f64::max);
    assert_eq!(best.value, highest);
    let later_or_raw = |v: &Validation| (v.epoch, v.weights == WeightsKind::Raw);
    let winner = validations.iter().filter(|v| v.map == highest).max_by_key(|v| later_or_raw(v)).unwrap();
    assert_eq!((best.epoch, best.weights), (winner.epoch, winner.weights));

    let file = WeightFile::open(&case.path("run/checkpoints/best.safetensors")).unwrap();
    let meta = file.metadata();
    assert_eq!(meta["labels"], r#"["red","green","blue"]"#);
    assert_eq!(
        (meta["weights"].as_str(), meta["epoch"].clone()),
        (best.weights.name(), best.epoch.to_string())
    );
    let metric: MetricValue = serde_json::from_str(&meta["metric"]).unwrap();
    assert_eq!(metric.value, best.value);
}

#[test]
fn early_stopping_ends_the_run_for_good() {
    let case = Case::new(&[
        "train.epochs=20",
        "train.early_stop=true",
        "train.early_stop_patience=2",
        "train.early_stop_min_delta=0.99",
    ]);
    let summary = case.start("run", &mut (), &StopFlag::default()).unwrap();
    assert_eq!(
        (summary.outcome, summary.epochs),
        (Outcome::StoppedEarly, 5),
        "start 3, then two without gain"
    );
    let message = case.resume("run", &mut (), &StopFlag::default()).unwrap_err().to_string();
    assert!(message.contains("nothing to continue: it stopped early (5 epochs)"), "{message}");
}

#[test]
fn a_loss_that_is_not_finite_names_the_images_and_spares_the_checkpoints() {
    let case = Case::new(&[]);
    let stop = StopFlag::default();
    let mut sink = at(|_, event| {
        if matches!(event, Event::EpochEnd(_)) {
            stop.request();
        }
    });
    case.start("run", &mut sink, &stop).unwrap();
    let dir = RunDir::open(&case.path("run")).unwrap();
    let setup = case.setup();
    let saved = dir.state();
    let saved = SavedState::open(&saved).unwrap();
    let bad = vec![f32::NAN; setup.model.graph.param_len()];
    let keep = |name: &str, len: usize| {
        let mut values = vec![0.0; len];
        saved.fill(name, &mut values).unwrap();
        values
    };
    let buffers = keep("buffers", setup.model.graph.buffer_len());
    let velocity = keep("optimizer.velocity", bad.len());
    let vectors = [("params", &bad), ("buffers", &buffers), ("optimizer.velocity", &velocity)];
    let ema = [("ema.params", &velocity), ("ema.buffers", &buffers)];
    let vectors: Vec<_> = vectors.iter().chain(&ema).map(|(n, v)| (n.to_string(), &v[..])).collect();
    state::save(&dir.state(), &saved.progress, &vectors).unwrap();

    let before = outcome_of(dir.path());
    let error = case.resume("run", &mut (), &StopFlag::default()).unwrap_err();
    let Error::NotFinite { what, epoch, step, images, .. } = &error else { panic!("{error}") };
    assert_eq!((*what, *epoch, *step, images.len()), ("the loss", 2, 1, 4));
    assert!(error.to_string().contains(".bmp"), "{error}");
    assert!(outcome_of(dir.path()) == before);
}

#[test]
fn what_cannot_be_continued_says_why() {
    let mut case = Case::new(&["train.epochs=2"]);
    let stop = StopFlag::default();
    stop.request();
    case.start("run", &mut (), &stop).unwrap();

    let state = case.path("run/state/state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() - 5]).unwrap();
    let message = case.resume("run", &mut (), &StopFlag::default()).unwrap_err().to_string();
    assert!(message.contains("no whole state"), "{message}");
    fs::write(&state, b"").unwrap();
    let message = case.resume("run", &mut (), &StopFlag::default()).unwrap_err().to_string();
    assert!(message.contains("no whole state"), "{message}");
    fs::write(&state, bytes).unwrap();

    case.dataset.splits[0].items.pop();
    let message = case.resume("run", &mut (), &StopFlag::default()).unwrap_err().to_string();
    assert!(message.contains("the data set has changed"), "{message}");
}

#[test]
fn events_come_in_order_and_the_folder_is_complete_before_the_first_step() {
    let case = Case::new(&["train.epochs=1", "eval.before_training=true", "train.ema=false"]);
    let run = case.path("run");
    let mut names = vec![];
    let mut sink = at(|_, event| {
        if matches!(event, Event::EpochStart { .. }) {
            for file in ["config.yaml", "dataset.json", "environment.json", "state/state.safetensors"] {
                assert!(run.join(file).is_file(), "{file}");
            }
        }
        let name = serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
        if names.last() != Some(&name) {
            names.push(name);
        }
    });
    case.start("run", &mut sink, &StopFlag::default()).unwrap();
    let start = ["data_found", "chosen", "validated", "epoch_end"];
    let epoch = ["epoch_start", "step", "validated", "saved", "new_best", "saved", "epoch_end", "finished"];
    assert_eq!(names, [&start[..], &epoch[..]].concat());
}

#[test]
fn accumulated_batches_make_one_step() {
    // 22 images in batches of 4 are 6 batches: a step of four, and one of the last two.
    let case = Case::new(&["optim.accumulate=4", "train.epochs=1"]);
    let mut steps = vec![];
    let mut sink = at(|_, event| {
        if let Event::Step(info) = event {
            steps.push((info.step, info.steps));
        }
    });
    case.start("run", &mut sink, &StopFlag::default()).unwrap();
    assert_eq!(steps, [(1, 2), (2, 2)]);
}

#[test]
fn a_batch_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let setup = Case::new(&[]).setup();
    let batch = setup.train.largest_batch();
    let needs = |batch| setup.memory_for(batch).unwrap().fixed();
    assert!(batch >= 3 && needs(2) < needs(3), "{batch}");
    setup.check_memory(needs(batch)).unwrap();
    let refused = |available| match setup.check_memory(available).unwrap_err() {
        Error::Memory { largest, needed, .. } => {
            assert_eq!(needed, needs(batch));
            largest
        }
        other => panic!("{other}"),
    };
    assert_eq!(refused(needs(2)), 2);
    assert_eq!(refused(needs(3) - 1), 2);
    assert_eq!(refused(needs(1) - 1), 0);
    let message = setup.check_memory(needs(2)).unwrap_err().to_string();
    assert!(message.contains("the largest that fits is 2"), "{message}");
}
