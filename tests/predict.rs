//! `mlcls predict` on everything that it takes: files, folders, globs, a list, and what is no image.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::util::{command, demo, mlcls};

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn files_folders_globs_and_lists_give_the_same_scores() {
    let demo = demo();
    let folder = Path::new(&demo.data()).join("images/test").display().to_string();
    let from_folder = rows(&mlcls(["predict", &demo.best(), &folder, "--json"]).ok().stdout);
    assert_eq!(from_folder.len(), 24);
    let glob = format!("{folder}/*.jpg");
    let from_glob = rows(&mlcls(["predict", &demo.best(), &glob, "--json", "--batch-size", "5"]).ok().stdout);
    assert_eq!(from_glob, from_folder, "the batch size must not matter");
    let from_file = rows(&mlcls(["predict", &demo.best(), &demo.image(7), "--json"]).ok().stdout);
    assert_eq!(from_file[0], from_folder[7]);

    let mut child = command(["predict", &demo.best(), "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "{}\n\n{}\n", demo.image(3), demo.image(1)).unwrap();
    let output = child.wait_with_output().unwrap();
    let from_list = rows(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(from_list, [from_folder[3].clone(), from_folder[1].clone()]);

    for row in &from_folder {
        let scores = row["scores"].as_object().unwrap();
        assert_eq!(scores.len(), 6);
        assert!(scores.values().all(|s| (0.0..=1.0).contains(&s.as_f64().unwrap())));
    }
}

#[test]
fn a_threshold_decides_which_labels_are_named() {
    let demo = demo();
    let labels = |threshold: &str| {
        let done = mlcls(["predict", &demo.best(), &demo.image(0), "--json", "--threshold", threshold]).ok();
        rows(&done.stdout)[0]["labels"].as_array().unwrap().len()
    };
    assert_eq!((labels("0"), labels("1")), (6, 0));
    let text = mlcls(["predict", &demo.best(), &demo.image(0), "--threshold", "0"]).ok().stdout;
    assert!(text.starts_with(&demo.image(0)) && text.contains("star 0."), "{text}");
    let none = mlcls(["predict", &demo.best(), &demo.image(0), "--threshold", "1"]).ok().stdout;
    assert_eq!(none, format!("{}  -\n", demo.image(0)));
}

#[test]
fn bad_images_are_reported_and_the_others_predicted() {
    let demo = demo();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("text.png"), "hello").unwrap();
    fs::write(path("empty.jpg"), "").unwrap();
    let images = [demo.image(0), path("text.png"), path("empty.jpg"), path("missing.jpg"), demo.image(1)];

    let args = ["predict".to_owned(), demo.best()].into_iter().chain(images.clone());
    let done = mlcls(args.clone());
    assert_eq!(done.code, Some(1));
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
    for name in ["text.png", "empty.jpg", "missing.jpg", "3 of the images"] {
        assert!(done.stderr.contains(name), "no {name} in:\n{}", done.stderr);
    }

    let done = mlcls(args.chain(["--json".to_owned()]));
    assert_eq!(done.code, Some(1));
    let rows = rows(&done.stdout);
    assert_eq!(rows.len(), 5);
    let errors: Vec<bool> = rows.iter().map(|r| r.get("error").is_some()).collect();
    assert_eq!(errors, [false, true, true, true, false]);
}
