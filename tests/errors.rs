//! Bad input: one clear message that says what was found, what was expected and what to do, and the right exit code.

use std::fs;
use std::path::Path;

use crate::util::{demo, has_gpu, mlcls, nowhere, short_training};

/// Runs a command that must fail with exit code 1, and returns its message.
#[track_caller]
fn message<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let done = mlcls(args);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked") && !done.stderr.contains("backtrace"), "{}", done.stderr);
    done.stderr
}

#[track_caller]
fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

/// A copy of the demo's data that a test may spoil.
fn copy_of_the_data(to: &Path) -> String {
    copy(Path::new(&demo().data()), to);
    to.display().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if target.extension().is_none() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["train"][..],
        &["trian", "x"],
        &["predict", "x"],
        &["train", "x", "--resume", "y"],
        &["eval", "a", "b", "--threshold", "2"],
    ] {
        let done = mlcls(args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:#?}");
    }
    contains(&mlcls(["trian"]).stderr, &["train"]);
}

#[test]
fn help_is_exit_code_0() {
    for command in ["train", "eval", "predict", "find", "config", "demo"] {
        let done = mlcls([command, "--help"]).ok();
        assert!(done.stdout.contains("Usage: mlcls"), "{}", done.stdout);
    }
    assert!(mlcls(["--version"]).ok().stdout.starts_with("mlcls "));
}

#[test]
fn settings_name_the_key_and_the_nearest() {
    let data = demo().data();
    contains(&message(["train", &data, "--set", "optim.lrr=1"]), &["optim.lrr", "did you mean `optim.lr`"]);
    contains(
        &message(["train", &data, "--model", "mobilenet_v3_larg"]),
        &["mobilenet_v3_larg", "did you mean"],
    );
    contains(&message(["train", &data, "--recipe", "tabel"]), &["tabel", "did you mean `table`"]);
    contains(&message(["train", &data, "--epochs", "0"]), &["--epochs", "train.epochs", "from 1"]);
    contains(&message(["find", "--task", "DETECTION"]), &["DETECTION", "MULTI_LABEL_CLS"]);
}

#[test]
fn a_wrong_folder_says_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    contains(&message(["train", &nowhere().display().to_string()]), &["nowhere"]);
    let images = Path::new(&demo().data()).join("images");
    let args =
        ["train", &images.display().to_string(), "--out", &out.display().to_string()].map(str::to_owned);
    contains(&message(args), &["images", "annotations"]);
    assert!(!out.exists(), "a run that did not start leaves no folder");
}

#[test]
fn every_bad_image_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let data = copy_of_the_data(&dir.path().join("data"));
    let image = |n: usize| Path::new(&data).join(format!("images/train/scene{n:05}.jpg"));
    fs::remove_file(image(1)).unwrap();
    fs::write(image(2), "not an image").unwrap();
    let bytes = fs::read(image(3)).unwrap();
    fs::write(image(3), &bytes[..bytes.len() / 2]).unwrap();
    let found = message([
        "train",
        &data,
        "--pretrained",
        "none",
        "--out",
        &dir.path().join("run").display().to_string(),
    ]);
    contains(&found, &["3 images", "scene00001", "scene00002", "scene00003"]);
}

#[test]
fn splits_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = copy_of_the_data(&dir.path().join("data"));
    let annotations = Path::new(&data).join("annotations");
    let test = ["eval", &demo().best(), &data, "--split", "tset"].map(str::to_owned);
    contains(&message(test), &["tset", "did you mean `test`"]);
    fs::remove_file(annotations.join("test.json")).unwrap();
    let no_test = message(["eval", &demo().best(), &data]);
    contains(&no_test, &[&data, "there is no split `test`", "--split train or --split val"]);

    let val = fs::read_to_string(annotations.join("val.json")).unwrap();
    fs::write(annotations.join("val.json"), val.replace("\"star\"", "\"pyramid\"")).unwrap();
    contains(&message(["train", &data]), &["pyramid", "star"]);

    fs::write(annotations.join("val.json"), &val[..val.len() / 2]).unwrap();
    contains(&message(["train", &data]), &["val.json:", "EOF"]);

    fs::remove_file(annotations.join("val.json")).unwrap();
    contains(&message(["train", &data]), &["val"]);
}

#[test]
fn checkpoints_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.safetensors").display().to_string();
    let data = demo().data();
    contains(&message(["eval", &path, &data]), &["bad.safetensors"]);
    fs::write(&path, "what").unwrap();
    contains(&message(["eval", &path, &data]), &["bad.safetensors"]);
    let whole = fs::read(demo().best()).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    contains(&message(["predict", &path, &demo().image(0)]), &["bad.safetensors"]);
    contains(&message(["eval", &dir.path().display().to_string(), &data]), &["config.yaml"]);
}

#[test]
fn runs_are_not_overwritten_and_only_runs_are_continued() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    contains(&message(short_training(dir.path(), &[])), &["not empty", "--resume"]);
    contains(&message(["train", "--resume", &dir.path().display().to_string()]), &["config.yaml"]);
}

#[test]
fn a_cut_off_state_is_refused_and_the_checkpoint_survives() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    mlcls(short_training(&run, &["--epochs", "1", "--limit", "16"])).ok();
    let best = fs::read(run.join("checkpoints/best.safetensors")).unwrap();
    let state = run.join("state/state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    contains(&message(["train", "--resume", &run.display().to_string()]), &["state.safetensors"]);
    assert!(fs::read(run.join("checkpoints/best.safetensors")).unwrap() == best);
}

#[test]
fn a_gpu_that_is_not_there_is_missed_before_anything_is_made() {
    // What a program with and without the feature has to say.
    let parts: &[&str] = match cfg!(feature = "cuda") {
        true => &["NVIDIA driver", "--device cpu"],
        false => &["device cuda", "built without", "cargo build --release --features cuda", "cpu"],
    };
    if has_gpu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    contains(&message(short_training(&run, &["--device", "cuda"])), parts);
    contains(&message(short_training(&run, &["--set", "train.device=cuda:1", "--precision", "tf32"])), parts);
    contains(&message(short_training(&run, &["--device", "cuda", "--dry-run"])), parts);
    assert!(!run.exists(), "a run that did not start leaves no folder");
    contains(&message(["eval", &demo().best(), &demo().data(), "--device", "cuda"]), parts);
    contains(&message(["predict", &demo().best(), &demo().image(0), "--device", "cuda"]), parts);

    mlcls(short_training(&run, &["--epochs", "1", "--limit", "16"])).ok();
    let config = run.join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("device: cpu", "device: cuda")).unwrap();
    contains(&message(["train", "--resume", &run.display().to_string()]), parts);
}

#[test]
fn devices_and_precisions_that_do_not_fit_are_refused() {
    let run = nowhere();
    let train = |more: &[&str]| message(short_training(&run, more));
    contains(&train(&["--device", "cudda"]), &["--device: `train.device`", "did you mean `cuda`"]);
    contains(
        &train(&["--precision", "bf16"]),
        &["--precision: `train.precision`", "processors compute in fp32"],
    );
    let eval = |more: &[&str]| {
        let (best, data) = (demo().best(), demo().data());
        mlcls([&["eval", &best, &data][..], more].concat())
    };
    let cpu = eval(&["--precision", "tf32"]);
    assert_eq!(cpu.code, Some(1), "{cpu:#?}");
    contains(&cpu.stderr, &["device cpu: precision is tf32", "processors compute in fp32"]);
    let wrong = eval(&["--device", "cuda:x"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    contains(&wrong.stderr, &["--device", "cuda:N"]);
    let same = eval(&["--device", "cpu", "--precision", "fp32", "--json"]).ok();
    contains(&same.stdout, &["\"device\": \"cpu\""]);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let args = short_training(&run, &["--lr", "1e30", "--set", "schedule.name=constant", "--epochs", "3"]);
    contains(&message(args), &["not finite", "epoch", "scene"]);
}

#[test]
fn weights_that_cannot_be_had_offline_say_where_to_put_them() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |run: &str, weights: &str| {
        let mut args = short_training(&dir.path().join(run), &[]);
        let place = args.iter().position(|a| a == "none").unwrap();
        args[place] = weights.to_owned();
        message(&args)
    };
    contains(&refused("a", "auto"), &["model.safetensors", "mobilenetv3_large_100"]);
    contains(&refused("b", &nowhere().display().to_string()), &["nowhere"]);
}
