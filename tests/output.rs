//! What goes where: plain lines when nobody looks, JSON for machines.

use std::process::{Command, Stdio};

use crate::util::{command, mlcls, short_training};

#[test]
fn without_a_terminal_there_are_no_control_codes() {
    let dir = tempfile::tempdir().unwrap();
    let done =
        mlcls(short_training(&dir.path().join("run"), &["--epochs", "1", "--set", "log.every=1"])).ok();
    for text in [&done.stdout, &done.stderr] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "control codes in {text:?}");
    }
    for part in [
        "Datumaro, 6 labels",
        "training on `train`",
        "epoch 1 step 4/8: ",
        "img/s",
        "ETA",
        "mAP",
        "best weights:",
    ] {
        assert!(done.stdout.contains(part), "no {part:?} in:\n{}", done.stdout);
    }
}

#[test]
fn json_is_one_event_per_line() {
    let dir = tempfile::tempdir().unwrap();
    let done = mlcls(short_training(&dir.path().join("run"), &["--epochs", "1", "--json"])).ok();
    let events: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let names: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    for name in [
        "data_found",
        "chosen",
        "epoch_start",
        "step",
        "validated",
        "epoch_end",
        "new_best",
        "finished",
        "summary",
    ] {
        assert!(names.contains(&name), "no {name} in {names:?}");
    }
    assert_eq!(events.last().unwrap()["summary"]["outcome"], "completed");
}

#[test]
fn a_dry_run_measures_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let done = mlcls(short_training(&out, &["--dry-run"])).ok();
    for part in [
        "training on `train`",
        "one batch of 8: loss",
        "device  cpu",
        "img/s",
        "memory",
        "nothing was written",
    ] {
        assert!(done.stdout.contains(part), "no {part:?} in:\n{}", done.stdout);
    }
    assert!(!out.exists());
}

#[test]
fn find_lists_the_models() {
    let text = mlcls(["find"]).ok().stdout;
    assert_eq!(text.lines().count(), 7, "{text}");
    let json = mlcls(["find", "--task", "MULTI_LABEL_CLS", "--json"]).ok().stdout;
    let models: serde_json::Value = serde_json::from_str(&json).unwrap();
    for model in models.as_array().unwrap() {
        assert!(text.contains(model["id"].as_str().unwrap()) && model["gflops"].as_f64().unwrap() > 0.1);
    }
}

#[test]
fn doctor_says_what_the_machine_offers() {
    let text = crate::util::finish(command(["doctor"]).env("RAYON_NUM_THREADS", "3")).ok().stdout;
    let built = if cfg!(feature = "cuda") { "built in" } else { "not part of this program" };
    for part in ["kernels", "threads 3", "CUDA", built, "offline", "weights list"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let machine: serde_json::Value = serde_json::from_str(&mlcls(["doctor", "--json"]).ok().stdout).unwrap();
    assert!(
        machine["cores"].as_u64().unwrap() >= 1 && machine["memory"].as_u64().unwrap() > 1 << 20,
        "{machine}"
    );
    assert_eq!(machine["weights"]["here"].as_array().unwrap().len(), 0);
    let cuda = &machine["cuda"];
    assert_eq!(cuda["built"].as_bool(), Some(cfg!(feature = "cuda")), "{cuda}");
    match cuda["error"].as_str() {
        Some(error) => assert!(error.contains("NVIDIA driver"), "{cuda}"),
        None => assert!(cuda["gpus"].as_array().unwrap().is_empty() || cfg!(feature = "cuda"), "{cuda}"),
    }
}

#[test]
fn config_shows_what_train_would_use_and_writes_what_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my.yaml").display().to_string();
    mlcls(["config", "init", "--recipe", "plateau", &file]).ok();
    assert_eq!(mlcls(["config", "init", &file]).code, Some(1), "an existing file is left alone");
    let shown = mlcls(["config", "show", "--config", &file, "--lr", "0.5", "--json"]).ok().stdout;
    let config: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((config["recipe"].as_str(), config["optim"]["lr"].as_f64()), (Some("plateau"), Some(0.5)));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mlcls"))
        .args(["config", "show"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}
