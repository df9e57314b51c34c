//! A run that is killed or interrupted, then continued, ends with the bits of the undisturbed run.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::util::{command, finish, mlcls, short_training};

/// Momentum, averaged weights, SAM, a moving schedule, augmentation: everything that a resume must bring back.
pub const SETTINGS: &[&str] = &[
    "--epochs",
    "3",
    "--set",
    "train.ema=true",
    "--set",
    "eval.ema_from_epoch=2",
    "--set",
    "train.save_every=2",
];

fn start(args: &[String]) -> Child {
    command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// Waits until the run has its settings on disk; before that there is nothing to continue.
pub fn wait_for_config(run: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !run.join("config.yaml").exists() {
        assert!(Instant::now() < deadline, "the run did not start");
        sleep(Duration::from_millis(5));
    }
}

pub fn resume(run: &Path) -> Vec<String> {
    vec!["train".to_owned(), "--resume".to_owned(), run.display().to_string()]
}

/// `metrics.csv` without the time that epochs took.
pub fn curves(run: &Path) -> String {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let seconds = text.lines().next().unwrap().split(',').position(|c| c == "seconds").unwrap();
    let without = |line: &str| {
        line.split(',')
            .enumerate()
            .filter(|(i, _)| *i != seconds)
            .map(|(_, c)| format!("{c},"))
            .collect::<String>()
    };
    text.lines().map(|line| without(line) + "\n").collect()
}

#[track_caller]
pub fn assert_same_run(found: &Path, expected: &Path) {
    for file in ["last", "best", "ema"] {
        let read = |run: &Path| fs::read(run.join(format!("checkpoints/{file}.safetensors"))).unwrap();
        assert!(read(found) == read(expected), "{file} differs from the undisturbed run's");
    }
    assert_eq!(curves(found), curves(expected));
}

#[test]
fn killed_at_random_points_and_resumed_is_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let began = Instant::now();
    mlcls(short_training(&whole, SETTINGS)).ok();
    let span = began.elapsed();

    // The moments of death come from the clock; a failure names them.
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let mut moments = Vec::new();
    let mut args = short_training(&killed, SETTINGS);
    let mut kills = 0;
    let finished = loop {
        let mut child = start(&args);
        wait_for_config(&killed);
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let moment = span.mul_f64(0.45 * (random >> 40) as f64 / (1u64 << 24) as f64);
        moments.push(moment);
        // After five deaths it may live.
        if kills < 5 {
            sleep(moment);
            child.kill().unwrap();
            kills += 1;
        }
        let status = child.wait().unwrap();
        args = resume(&killed);
        if status.code().is_some() {
            break status;
        }
    };
    println!("killed {kills} times, after {moments:?}");
    assert!(finished.success(), "ended with {finished}");
    assert_same_run(&killed, &whole);
}

#[test]
fn ctrl_c_saves_says_how_to_go_on_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    mlcls(short_training(&whole, SETTINGS)).ok();

    let child = command(short_training(&stopped, SETTINGS))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_config(&stopped);
    sleep(Duration::from_millis(100));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains(&format!("mlcls train --resume {}", stopped.display())), "{text}");

    finish(&mut command(resume(&stopped))).ok();
    assert_same_run(&stopped, &whole);

    let again = mlcls(resume(&stopped));
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("nothing to continue"), "{}", again.stderr);
}
