//! `cargo xtask bench-voc --smoke`: the whole harness around this binary, interrupted, and with things missing.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::util::{Done, finish, has_gpu, nowhere};

/// The program of the chores, built beside the binary under test.
fn xtask() -> &'static Path {
    static XTASK: OnceLock<PathBuf> = OnceLock::new();
    XTASK.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_mlcls")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet", "--package", "xtask", "--target-dir"]);
        cargo.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "xtask does not build");
        folder.join("xtask")
    })
}

/// The smoke bench in a folder.
fn bench(work: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(xtask());
    command.args(["bench-voc", "--smoke", "--mlcls", env!("CARGO_BIN_EXE_mlcls"), "--work"]).arg(work);
    command.args(more).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1").env("HF_HOME", nowhere());
    command
}

fn run(work: &Path, more: &[&str]) -> Done {
    finish(&mut bench(work, more))
}

fn results(work: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(work.join("smoke.json")).unwrap()).unwrap()
}

fn table(work: &Path) -> String {
    fs::read_to_string(work.join("smoke.md")).unwrap()
}

/// Everything in the results that no clock decides.
fn numbers(work: &Path) -> Vec<String> {
    let results = results(work);
    let score = |run: &Value, score: &Value| {
        let of =
            |keys: &[&str], from: &Value| keys.iter().map(|k| format!("{} ", from[k])).collect::<String>();
        of(&["dataset", "seed", "command", "epochs", "data", "weights"], run)
            + &of(&["checkpoint", "split", "difficult", "epoch", "weights", "mAP", "mAP_VOC07", "CF1"], score)
    };
    let runs = results["runs"].as_array().unwrap();
    runs.iter().flat_map(|r| r["scores"].as_array().unwrap().iter().map(|s| score(r, s))).collect()
}

/// A bench that nothing disturbed.
fn whole() -> &'static Path {
    static WHOLE: OnceLock<PathBuf> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-voc");
        if work.exists() {
            fs::remove_dir_all(&work).unwrap();
        }
        run(&work, &[]).ok();
        work
    })
}

#[test]
fn the_smoke_bench_fills_the_table() {
    let work = whole();
    let results = results(work);
    let runs = results["runs"].as_array().unwrap();
    assert_eq!((runs.len(), results["missing"].as_array().unwrap().len()), (4, 0));
    for run in runs {
        let of =
            |key: &str| run["scores"].as_array().unwrap().iter().map(|s| s[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("checkpoint"), ["best", "best", "last", "last", "ema", "ema"]);
        assert!(
            run["images_per_second"].as_f64().unwrap() > 0.0 && run["train_seconds"].as_f64().unwrap() > 0.0
        );
        for hash in ["content", "fingerprint"] {
            assert_eq!(run["data"][hash].as_str().unwrap().len(), 64);
        }
        assert_eq!(run["epochs"], 2);
    }
    // The run's own curves have the same numbers.
    let folder = Path::new("runs/smoke_voc/mobilenet_v3_large");
    let variant = fs::read_dir(work.join(folder)).unwrap().next().unwrap().unwrap().path();
    let csv = fs::read_to_string(variant.join("seed0/run/metrics.csv")).unwrap();
    let cell = |line: usize, name: &str| -> f64 {
        let place = csv.lines().next().unwrap().split(',').position(|c| c == name).unwrap();
        csv.lines().nth(line).unwrap().split(',').nth(place).unwrap().parse().unwrap()
    };
    let map = |place: usize| runs[0]["scores"][place]["mAP"].as_f64().unwrap();
    let highest =
        [(1, "mAP"), (1, "ema_mAP"), (2, "mAP"), (2, "ema_mAP")].map(|(line, name)| cell(line, name));
    assert!((map(0) - highest.into_iter().fold(0.0, f64::max)).abs() < 1e-4, "best {}", map(0));
    assert!((map(2) - cell(2, "mAP")).abs() < 1e-4, "last {}", map(2));
    assert!((map(4) - cell(2, "ema_mAP")).abs() < 1e-4, "average {}", map(4));
    assert!((map(0) - map(1)).abs() > 1e-5, "difficult objects make no difference");

    let table = table(work);
    for part in
        ["| drawn, as VOC | mobilenet_v3_large |", "test, difficult objects left out", " ± ", "CPU min"]
    {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
    assert!(!table.contains(work.to_str().unwrap()), "a private path in\n{table}");
}

/// Waits until the training that was killed is gone: until then it holds the folder.
fn wait_for_lock(work: &Path) {
    let Ok(lock) = fs::File::open(work.join("lock")) else { return };
    let deadline = Instant::now() + Duration::from_secs(60);
    while lock.try_lock().is_err() {
        assert!(Instant::now() < deadline, "something holds the lock");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn killed_anywhere_and_run_again_it_gives_the_same_table() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let expected = numbers(whole());
    // The moments of death come from the clock; a failure names them.
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let mut moments = Vec::new();
    for _ in 0..4 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        moments.push(Duration::from_secs(6).mul_f64((random >> 40) as f64 / (1u64 << 24) as f64));
    }
    println!("killed after {moments:?}");
    for moment in moments {
        let mut child = bench(&work, &[]).stdout(Stdio::null()).process_group(0).spawn().unwrap();
        sleep(moment);
        // The bench with whatever it has started.
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().unwrap();
        child.wait().unwrap();
        wait_for_lock(&work);
    }
    run(&work, &[]).ok();
    assert_eq!(numbers(&work), expected);

    let again = run(&work, &[]).ok();
    assert_eq!(again.stdout.matches("finished in an earlier call").count(), 4, "{}", again.stdout);
    assert!(!again.stdout.contains("epoch 1"), "{}", again.stdout);
}

#[test]
fn what_is_missing_leaves_the_other_cells_alone() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path();
    let models = ["--models", "efficientnet_b0,mobilenet_v3_large", "--pretrained", "efficientnet_b0=auto"];
    let sets = ["--datasets", "voc2007,smoke_coco", "--seeds", "1", "--epochs", "1"];
    let done = run(work, &[&models[..], &sets].concat());
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(
        done.stderr.contains("not run, and the table says why: voc2007 efficientnet_b0 seed 0"),
        "{}",
        done.stderr
    );
    let table = table(work);
    for part in [
        "| PASCAL VOC 2007 | mobilenet_v3_large | table, ",
        "not run: there is no ImageSets/Main below DATA/voc2007: mlcls data fetch voc2007 --to DATA/voc2007 (911 MB)",
        "not run: the weights efficientnet_b0.ra_in1k are not on this machine: `mlcls weights fetch efficientnet_b0",
    ] {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
    let results = results(work);
    let ran = &results["runs"].as_array().unwrap()[..];
    assert!(ran.len() == 1 && ran[0]["dataset"] == "smoke_coco" && ran[0]["model"] == "mobilenet_v3_large");
    assert_eq!(results["missing"].as_array().unwrap().len(), 3);
}

#[test]
fn another_plan_does_not_continue_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let one = ["--datasets", "smoke_coco", "--seeds", "1", "--epochs", "1", "--set", "data.limit=20"];
    run(dir.path(), &one).ok();
    // The data of a run are those that it was trained on.
    assert_eq!(results(dir.path())["runs"][0]["data"]["images"][0], serde_json::json!(["train", 20]));
    let find = Command::new("find").arg(dir.path()).args(["-name", "plan.json"]).output().unwrap().stdout;
    let plan = PathBuf::from(String::from_utf8(find).unwrap().trim());
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, text.replace(r#""data": ""#, r#""data": "f"#)).unwrap();
    let done = run(dir.path(), &one);
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("was begun with another data: f"), "{}", done.stdout);
    assert!(done.stdout.contains("Remove that folder, or give another --work"), "{}", done.stdout);
}

#[test]
fn wrong_usage_ends_the_bench_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let message = |more: &[&str]| {
        let done = run(dir.path(), more);
        assert_eq!(done.code, Some(1), "{done:#?}");
        done.stderr
    };
    assert!(message(&["--recipe", "tabel"]).contains("did you mean `table`"));
    assert!(message(&["--models", "mobilenet_v3_larg"]).contains("did you mean"));
    assert!(message(&["--set", "optim.lrr=1"]).contains("optim.lr"));
    assert!(message(&["--pretrained", "efficientnet_b0=auto"]).contains("expected MODEL=WEIGHTS"));
    assert!(message(&["--precision", "bf16"]).contains("processors compute in fp32"));
    if !has_gpu() {
        let cuda = message(&["--device", "cuda:1", "--precision", "tf32"]);
        let why = if cfg!(feature = "cuda") { "CUDA: " } else { "this mlcls was built without CUDA" };
        assert!(cuda.starts_with(&format!("error: --device cuda:1: {why}")), "{cuda}");
        assert_eq!(cuda.trim().lines().count(), 1, "{cuda}");
    }
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn one_bench_works_in_a_folder_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let lock = fs::File::create(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let done = run(dir.path(), &[]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("another bench-voc"), "{}", done.stderr);
}
