//! `mlcls report`: the page and the list beside it.

use std::fs;

use crate::util::{demo, mlcls};

#[test]
fn a_run_becomes_a_page_that_loads_nothing_and_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("page.html");
    let run = demo().root.join("run").display().to_string();
    let words = ["report", &run, &demo().data(), "--out", &out.display().to_string(), "--examples", "2"];
    let done = mlcls(words).ok();
    assert!(done.stdout.contains("page.html") && done.stdout.contains("page.doubtful.csv"), "{done:#?}");
    let html = fs::read_to_string(&out).unwrap();
    for part in [
        "mAP %",
        "Loss",
        "Validation",
        "Learning rate",
        "Average precision",
        "Reliability",
        "Worst mistakes",
        "star",
    ] {
        assert!(html.contains(part), "no {part}");
    }
    assert!(!html.contains("http") && !html.contains("<script"), "it loads something");
    assert!(html.contains("src=\"data:image/jpeg;base64,"), "it shows no image");

    // Each doubtful answer is one of the data set, said as it says it.
    let mut list = csv::Reader::from_path(dir.path().join("page.doubtful.csv")).unwrap();
    let dataset = mlcls_data::Dataset::open(demo().data(), &mlcls_data::ReadOptions::default()).unwrap();
    let split = dataset.require_split("test").unwrap();
    for row in list.records().map(Result::unwrap) {
        let item = split.items.iter().find(|item| item.id == row[0]).unwrap();
        let label = dataset.labels.iter().position(|label| *label == row[2]).unwrap();
        assert_eq!(item.states[label] == mlcls_data::LabelState::Present, &row[3] == "1", "{row:?}");
    }
}

#[test]
fn a_checkpoint_alone_has_no_curves_and_a_wrong_split_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("mine.safetensors");
    fs::copy(demo().best(), &checkpoint).unwrap();
    let checkpoint = checkpoint.display().to_string();
    mlcls(["report", &checkpoint, &demo().data(), "--split", "val", "--examples", "0", "--doubtful", "0"])
        .ok();
    let html = fs::read_to_string(dir.path().join("report.val.html")).unwrap();
    assert!(!html.contains("Learning rate") && !html.contains("<img"), "curves or images");
    let done = mlcls(["report", &checkpoint, &demo().data(), "--split", "vla"]);
    assert!(done.code == Some(1) && done.stderr.contains("did you mean `val`?"), "{done:#?}");
}
