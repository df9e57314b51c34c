//! Train, evaluate, predict: the main path, with what each step leaves for the next.

use std::fs;
use std::path::Path;

use crate::util::{SMALL_MODEL, demo, mlcls, short_training};

/// A column of `metrics.csv` in its last row.
fn last_metric(run: &Path, column: &str) -> f64 {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let place = text.lines().next().unwrap().split(',').position(|c| c == column).unwrap();
    text.lines().last().unwrap().split(',').nth(place).unwrap().parse().unwrap()
}

#[test]
fn the_demo_does_everything_and_says_where_it_is() {
    let demo = demo();
    for part in ["test mAP:", "predictions, with what was drawn:", "mlcls predict ", "weakest (AP):"] {
        assert!(demo.stdout.contains(part), "no {part:?} in:\n{}", demo.stdout);
    }
    for file in [
        "data/annotations/train.json",
        "data/images/test/scene00000.jpg",
        "run/config.yaml",
        "run/dataset.json",
        "run/environment.json",
        "run/metrics.csv",
        "run/checkpoints/best.safetensors",
        "run/checkpoints/best.test.json",
        "run/checkpoints/best.test.csv",
        "run/checkpoints/last.safetensors",
    ] {
        assert!(demo.root.join(file).is_file(), "{file} is missing");
    }
    let again = mlcls(["demo", "--quick", "--out", &demo.root.display().to_string()]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
}

#[test]
fn the_demos_data_can_be_had_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display().to_string();
    mlcls(["demo", "--quick", "--data-only", "--out", &out]).ok();
    let read = |root: &Path| fs::read(root.join("data/images/test/scene00000.jpg")).unwrap();
    assert!(read(dir.path()) == read(&demo().root) && !dir.path().join("run").exists());
    let again = mlcls(["demo", "--quick", "--data-only", "--out", &out]);
    assert!(again.code == Some(1) && again.stderr.contains("not empty"), "{again:?}");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    mlcls(short_training(&a, &["--epochs", "1", "--seed", "5"])).ok();
    let mut one_thread = crate::util::command(short_training(&b, &["--epochs", "1", "--seed", "5"]));
    crate::util::finish(one_thread.env("RAYON_NUM_THREADS", "1")).ok();
    let weights = |run: &Path| fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(weights(&a) == weights(&b), "two runs with one seed differ");
}

#[test]
fn eval_finds_what_training_reported() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let trained = mlcls(short_training(&run, &["--epochs", "2"])).ok();
    assert!(
        trained
            .stdout
            .contains(&format!("mlcls eval {}", run.join("checkpoints/best.safetensors").display()))
    );

    let last = run.join("checkpoints/last.safetensors").display().to_string();
    let done = mlcls(["eval", &last, &demo().data(), "--split", "val", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let map = 100.0 * report["report"]["mAP"].as_f64().unwrap();
    assert!((map - last_metric(&run, "mAP")).abs() < 1e-5, "eval says {map}");
    assert_eq!(report["labels"].as_array().unwrap().len(), 6);
    let saved = fs::read_to_string(run.join("checkpoints/last.val.json")).unwrap();
    assert_eq!(saved.trim(), done.stdout.trim());

    let csv = mlcls(["eval", &last, &demo().data(), "--split", "val", "--csv"]).ok().stdout;
    assert_eq!(csv, fs::read_to_string(run.join("checkpoints/last.val.csv")).unwrap());
    assert_eq!(csv.lines().count(), 7);

    // The folder of a run stands for its best checkpoint.
    let text = mlcls(["eval", &run.display().to_string(), &demo().data()]).ok().stdout;
    for part in ["star", "VOC07", "CF1", "OF1", "Hamming loss", "subset accuracy"] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
}

/// A data set that somebody was sent to be evaluated is often not divided, or consists of one split.
#[test]
fn eval_takes_the_only_split_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let best = dir.path().join("best.safetensors");
    fs::copy(demo().best(), &best).unwrap();
    let eval = |data: &Path, more: &[&str]| {
        let fixed = ["eval", best.to_str().unwrap(), data.to_str().unwrap(), "--json"];
        let done = mlcls(fixed.iter().chain(more)).ok();
        let mut report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        (report["split"].take(), report["report"].take())
    };
    let all_splits = Path::new(&demo().root).join("data");
    let (_, expected) = eval(&all_splits, &["--split", "val"]);

    let val: serde_json::Value =
        serde_json::from_slice(&fs::read(all_splits.join("annotations/val.json")).unwrap()).unwrap();
    let labels: Vec<&str> = val["categories"]["label"]["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label["name"].as_str().unwrap())
        .collect();
    let mut table = format!("image,{}\n", labels.join(","));
    let one_split = dir.path().join("one_split");
    fs::create_dir_all(one_split.join("annotations")).unwrap();
    fs::create_dir_all(one_split.join("images")).unwrap();
    fs::copy(all_splits.join("annotations/val.json"), one_split.join("annotations/val.json")).unwrap();
    for item in val["items"].as_array().unwrap() {
        let name = item["image"]["path"].as_str().unwrap();
        fs::copy(all_splits.join("images/val").join(name), one_split.join("images").join(name)).unwrap();
        let mut cells = vec!["0"; labels.len()];
        for annotation in item["annotations"].as_array().unwrap() {
            cells[annotation["label_id"].as_u64().unwrap() as usize] = "1";
        }
        table += &format!("{name},{}\n", cells.join(","));
    }
    assert_eq!(eval(&one_split, &[]), ("val".into(), expected.clone()));
    assert!(dir.path().join("best.val.json").is_file());

    let undivided = dir.path().join("undivided");
    fs::rename(one_split.join("images"), &undivided).unwrap();
    fs::write(undivided.join("labels.csv"), table).unwrap();
    for data in [undivided.clone(), undivided.join("labels.csv")] {
        assert_eq!(eval(&data, &[]), ("all".into(), expected.clone()));
    }
    assert!(dir.path().join("best.all.csv").is_file());
}

#[test]
fn the_average_is_a_checkpoint_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let settings = ["--epochs", "2", "--set", "train.ema=true", "--set", "eval.ema_from_epoch=2"];
    let trained = mlcls(short_training(&run, &settings)).ok();
    let ema = run.join("checkpoints/ema.safetensors").display().to_string();
    assert!(trained.stdout.contains(&ema), "{}", trained.stdout);
    let done = mlcls(["eval", &ema, &demo().data(), "--split", "val", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&report["weights"], &report["epoch"]), (&"ema".into(), &2.into()));
    let map = 100.0 * report["report"]["mAP"].as_f64().unwrap();
    assert!((map - last_metric(&run, "ema_mAP")).abs() < 1e-5, "eval says {map}");
    assert!((map - last_metric(&run, "mAP")).abs() > 1e-5, "these are the trained weights");
}

#[test]
fn every_model_trains() {
    for model in ["efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0"] {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let mut args = short_training(&run, &["--epochs", "1", "--limit", "16"]);
        let place = args.iter().position(|a| a == SMALL_MODEL).unwrap();
        args[place] = model.to_owned();
        mlcls(args).ok();
        assert!(last_metric(&run, "train_loss").is_finite());
    }
}

#[test]
fn settings_are_written_before_and_can_be_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    mlcls(short_training(&first, &["--epochs", "1", "--limit", "16", "--set", "optim.sam_rho=0"])).ok();
    let config = first.join("config.yaml");
    let args = [
        "train",
        &demo().data(),
        "--config",
        &config.display().to_string(),
        "--out",
        &second.display().to_string(),
    ]
    .map(str::to_owned);
    mlcls(args).ok();
    let read = |run: &Path| fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    assert!(read(&first) == read(&second), "the written settings give another run");
}

#[test]
fn a_cache_file_changes_nothing_but_the_time_and_serves_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("images.cache");
    let setting = format!("data.cache_file={}", cache.display());
    let train = |name: &str, more: &[&str]| {
        let run = dir.path().join(name);
        mlcls(short_training(
            &run,
            &[&["--epochs", "2", "--seed", "5", "--set", "data.cache_mb=0"], more].concat(),
        ))
        .ok();
        fs::read(run.join("checkpoints/last.safetensors")).unwrap()
    };
    let without = train("without", &[]);
    let first = train("first", &["--set", &setting]);
    let filled = fs::read(&cache).unwrap();
    let second = train("second", &["--set", &setting]);
    assert!(without == first && first == second, "the cache file changes the weights");
    assert!(filled.len() > 100_000 && filled == fs::read(&cache).unwrap());

    fs::write(&cache, "a letter").unwrap();
    let done = mlcls(short_training(&dir.path().join("third"), &["--set", &setting]));
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("is no image cache"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(&cache).unwrap(), "a letter");
}
