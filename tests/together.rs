//! Two processes train as one run, started as launchers start them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::interrupted::{SETTINGS, assert_same_run, curves, resume, wait_for_config};
use crate::util::{Done, command, mlcls, short_training};

/// The same command twice, as rank 0 and 1 of a launcher's variables.
fn start(args: &[String]) -> [Child; 2] {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| {
        let mut command = command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let port = port.to_string();
        let set = [("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port.as_str())];
        command.envs(set).env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
        command.spawn().expect("the binary starts")
    };
    [rank(0), rank(1)]
}

fn finish(ranks: [Child; 2]) -> [Done; 2] {
    ranks.map(|rank| {
        let output = rank.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    })
}

/// Runs both, who must succeed.
#[track_caller]
fn both(args: &[String]) -> [Done; 2] {
    finish(start(args)).map(Done::ok)
}

#[test]
fn two_processes_train_as_one_with_two_batches_in_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let [two, one] = ["two", "one"].map(|name| dir.path().join(name));
    let [first, second] = both(&short_training(&two, &["--epochs", "3"]));
    mlcls(short_training(&one, &["--epochs", "3", "--set", "optim.accumulate=2"])).ok();

    let settings = first.stdout.lines().find(|line| line.contains("in each of 2 processes"));
    assert!(settings.is_some_and(|line| line.contains("batch size") && line.contains('8')), "{first:#?}");
    assert!(first.stdout.contains("done: 3 epochs"), "{first:#?}");
    assert_eq!((second.stdout.as_str(), second.stderr.as_str()), ("", ""));
    // Epoch by epoch the same losses and rates; the validation sees other running statistics.
    let learnt = |run| {
        let curves = curves(run);
        let rows: Vec<Vec<&str>> = curves.lines().map(|line| line.split(',').collect()).collect();
        let column = |name| rows[0].iter().position(|n| *n == name).unwrap();
        let columns = ["epoch", "train_loss", "lr"].map(column);
        rows.iter().map(|row| columns.map(|c| row[c].to_owned())).collect::<Vec<_>>()
    };
    let rows = learnt(&two);
    assert!(rows.len() == 4 && rows == learnt(&one), "{rows:?} {:?}", learnt(&one));
}

#[test]
fn stopped_by_one_they_continue_as_if_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| dir.path().join(name));
    both(&short_training(&whole, SETTINGS));

    let ranks = start(&short_training(&stopped, SETTINGS));
    wait_for_config(&stopped);
    sleep(Duration::from_millis(100));
    // As a launcher does it: twice in a moment.
    for _ in 0..2 {
        let sent = Command::new("kill").args(["-INT", &ranks[1].id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
    let [first, second] = finish(ranks);
    assert_eq!([first.code, second.code], [Some(130); 2], "{first:#?} {second:#?}");
    assert!(first.stdout.contains("mlcls train --resume"), "{first:#?}");

    let alone = mlcls(resume(&stopped));
    assert!(alone.stderr.contains("shared by 2 processes, and now there are 1; start 2"), "{alone:#?}");
    both(&resume(&stopped));
    assert_same_run(&stopped, &whole);
}

#[test]
fn a_process_that_dies_is_named_by_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut ranks = start(&short_training(&run, &[]));
    wait_for_config(&run);
    ranks[1].kill().unwrap();
    let [first, _] = finish(ranks);
    assert_eq!(first.code, Some(1), "{first:#?}");
    assert!(first.stderr.contains("rank 1 is lost: "), "{first:#?}");
    assert!(!first.stderr.contains("panicked"), "{first:#?}");
}
