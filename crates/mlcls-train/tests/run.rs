//! The whole way with a real model, through the public interface only: look, train, stop, continue, evaluate, predict.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::{Path, PathBuf};

use mlcls_data::{Dataset, Format, Images, Item, LabelState, Split, WriteFormat, write_dataset};
use mlcls_train::{
    Checkpoint, Config, EvalOptions, Event, EventSink, Layers, Outcome, Predictor, RunDir, StopFlag, dry_run,
    evaluate_checkpoint, open_dataset, resume, train,
};

/// A plain 24-bit BMP of one colour.
fn bitmap(side: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
    let pixels = side * side * 3;
    let mut bytes = b"BM".to_vec();
    for field in [54 + pixels, 0, 54, 40, side, side, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([b, g, r].repeat((side * side) as usize));
    bytes
}

/// Images of one colour each, labelled `light` or `dark`, `train` and `val`.
fn write_data(root: &Path) {
    let split = |name: &str, images: u8| {
        let item = |i: u8| {
            let (light, path) = (i.is_multiple_of(2), root.join(format!("{name}{i}.bmp")));
            let level = if light { 160 + 4 * i } else { 20 + 4 * i };
            fs::write(&path, bitmap(32, [level, level, 255 - level])).unwrap();
            let state = |yes| if yes { LabelState::Present } else { LabelState::Absent };
            Item { id: format!("{name}{i}"), image: path, states: vec![state(light), state(!light)] }
        };
        Split { name: name.to_owned(), items: (0..images).map(item).collect() }
    };
    let dataset = Dataset {
        root: root.to_owned(),
        format: Format::Datumaro,
        labels: vec!["light".to_owned(), "dark".to_owned()],
        splits: vec![split("train", 12), split("val", 6)],
        notes: vec![],
    };
    write_dataset(&dataset, &root.join("set"), WriteFormat::Datumaro, Images::Copy).unwrap();
}

fn settings(data: &Path) -> Config {
    let text = "model: {name: efficientnet_lite0, pretrained: none, image_size: 32}\n\
                train: {epochs: 2, batch_size: 4, save_every: 1}\noptim: {lr: 0.001}\nlog: {every: 1}";
    let layers = Layers::new().text("settings", text).unwrap();
    layers.flag("DATA", "data.root", data.to_str().unwrap()).resolve().unwrap()
}

/// Asks to stop at the first step.
struct StopAtOnce(StopFlag);

impl EventSink for StopAtOnce {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Step(_)) {
            self.0.request();
        }
    }
}

#[test]
fn look_train_stop_continue_evaluate_predict() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    write_data(folder.path());
    let config = settings(&at("set"));

    let look = dry_run(&config, &mut ()).unwrap();
    assert_eq!(look.images, 4);
    assert!(look.memory.plan > 100_000 && look.loss > 0.0, "{look:?}");

    let whole = RunDir::create(&at("whole")).unwrap();
    let summary = train(&config, &whole, &mut (), &StopFlag::default()).unwrap();
    assert_eq!((summary.outcome, summary.epochs), (Outcome::Completed, 2));

    let parts = RunDir::create(&at("parts")).unwrap();
    let stop = StopFlag::default();
    let first = train(&config, &parts, &mut StopAtOnce(stop.clone()), &stop).unwrap();
    assert_eq!((first.outcome, first.epochs), (Outcome::Interrupted, 0));
    let second = resume(parts.path(), &mut (), &StopFlag::default()).unwrap();
    assert_eq!((second.outcome, second.best), (summary.outcome, summary.best));
    for (a, b) in [(whole.best(), parts.best()), (whole.last(), parts.last())] {
        assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap(), "{} and {}", a.display(), b.display());
    }

    let checkpoint = Checkpoint::load(&whole.best()).unwrap();
    let dataset = open_dataset(&config).unwrap();
    let found = evaluate_checkpoint(&checkpoint, &dataset, "val", &EvalOptions::default()).unwrap();
    let value = checkpoint.info.metric.as_ref().unwrap().value;
    assert_eq!(100.0 * found.report.map.unwrap(), value, "the split that chose it, measured again");

    let image = dataset.split("val").unwrap().items[0].image.clone();
    let predictions = Predictor::new(&checkpoint, 8).unwrap().predict(&[image]).unwrap();
    assert_eq!(predictions[0].scores.as_ref().unwrap()[..], found.scores[..2]);
}

#[test]
fn a_run_can_start_from_the_checkpoint_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    write_data(folder.path());
    let config = settings(&at("set"));
    let first = RunDir::create(&at("first")).unwrap();
    train(&config, &first, &mut (), &StopFlag::default()).unwrap();

    let mut raw = config.into_raw();
    raw.model.pretrained = first.last().to_str().unwrap().to_owned();
    raw.eval.before_training = true;
    raw.train.epochs = 1;
    let config = raw.check().unwrap();
    let second = RunDir::create(&at("second")).unwrap();
    train(&config, &second, &mut (), &StopFlag::default()).unwrap();

    // The row of epoch 0 is the validation of what was loaded.
    let rows = |run: &RunDir| -> Vec<String> {
        fs::read_to_string(run.metrics()).unwrap().lines().map(str::to_owned).collect()
    };
    let numbers = |row: &str| row.split(',').skip(2).take(5).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers(&rows(&second)[1]), numbers(&rows(&first)[2]));
}
