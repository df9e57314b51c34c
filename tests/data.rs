//! `mlcls data check|split|stats|preview` from the outside.

use std::collections::HashSet;
use std::path::Path;

use crate::util::{demo, mlcls};

fn json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&mlcls(args).ok().stdout).unwrap()
}

/// Ids per split of a Datumaro folder.
fn ids(root: &Path, split: &str) -> HashSet<String> {
    let text = std::fs::read_to_string(root.join(format!("annotations/{split}.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn split_pools_what_it_is_told_to_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (out, data) = (dir.path().join("out"), demo().data());
    let path = out.display().to_string();
    let args =
        ["data", "split", &data, "--val", "0.25", "--seed", "7", "--from", "train,val", "--out", &path];
    let done = mlcls(args).ok();
    for part in ["of train, val divided anew", "test is kept as it is", "(no label)", "LD 0.0", "written to"]
    {
        assert!(done.stdout.contains(part), "no {part:?} in:\n{}", done.stdout);
    }
    let old = Path::new(&data);
    assert_eq!(ids(&out, "test"), ids(old, "test"));
    let (train, val) = (ids(&out, "train"), ids(&out, "val"));
    let pool = ids(old, "train").len() + ids(old, "val").len();
    assert_eq!(train.len() + val.len(), pool);
    // A group of images that look alike may shift the size by a few.
    assert!(val.len().abs_diff(pool / 4) <= 2, "{} of {pool}", val.len());
    let stats = json(&["data", "stats", &path, "--json"]);
    assert_eq!(stats["images"]["unreadable"], 0);
    assert_eq!(stats["splits"][0]["images"], train.len());

    // The same seed, the same parts; another seed, others.
    let again = |seed: &str| {
        let out = dir.path().join(seed);
        let path = out.display().to_string();
        let mut args = args;
        (args[6], args[10]) = (seed, &path);
        mlcls(args.iter().copied().chain(["--images", "link"])).ok();
        ids(&out, "val")
    };
    assert_eq!(again("7"), val);
    assert_ne!(again("8"), val);
    assert_eq!(mlcls(args).code, Some(1), "the folder is not empty any more");
}

#[test]
fn split_asks_rather_than_mixing_splits() {
    let dir = tempfile::tempdir().unwrap();
    let (out, data) = (dir.path().join("out").display().to_string(), demo().data());
    let message = |more: &[&str]| {
        let done = mlcls(["data", "split", &data, "--out", &out].iter().chain(more));
        assert_ne!(done.code, Some(0));
        done.stderr
    };
    let which = message(&["--val", "0.2"]);
    assert!(which.contains("say which to pool: --from train val test draws all anew"), "{which}");
    assert!(which.contains("--from train val keeps test as it is"), "{which}");
    assert!(message(&["--test", "0.2", "--from", "train"]).contains("`test` would have the name of one"));
    assert!(message(&["--val", "0.2", "--from", "trian"]).contains("did you mean `train`?"));
    assert!(message(&["--val", "0.6", "--test", "0.4"]).contains("leave nothing to train on"));
    assert!(message(&["--val", "2"]).contains("above 0 and below 1"));
    assert!(message(&["--from", "train"]).contains("--val"));
    assert!(!Path::new(&out).exists());
}

#[test]
fn stats_prints_tables_and_writes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("stats.html");
    let done = mlcls(["data", "stats", &demo().data(), "--html", &page.display().to_string()]).ok();
    for part in ["labels/image", "times rarer", "median", "together", "imbalance", "plots: "] {
        assert!(done.stdout.contains(part), "no {part:?} in:\n{}", done.stdout);
    }
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.matches("<svg").count() >= 6);
    let outside = ["http:", "https:", "src=", "<script", "<link"];
    assert!(outside.iter().all(|word| !html.contains(word)), "the page needs nothing else");
}

#[test]
fn preview_draws_a_png() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("sheet.png"), demo().data());
    let path = file.display().to_string();
    let preview = |more: &[&str]| mlcls(["data", "preview", &data, "--out", &path].iter().chain(more));
    let done = preview(&["--images", "4", "--size", "64", "--variants", "2", "--augment", "plateau"]).ok();
    assert!(done.stdout.contains("4 of ") && done.stdout.contains("augmentation plateau"), "{}", done.stdout);
    let first = std::fs::read(&file).unwrap();
    assert!(first.starts_with(b"\x89PNG"));
    preview(&["--images", "4", "--size", "64", "--variants", "2", "--augment", "plateau", "--seed", "1"])
        .ok();
    assert_ne!(std::fs::read(&file).unwrap(), first);
    let wrong = preview(&["--augment", "tabel"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("did you mean 'table'?"), "{}", wrong.stderr);
    assert!(preview(&["--split", "tets"]).stderr.contains("did you mean `test`?"));
}

#[test]
fn check_reports_mends_and_sets_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    mlcls(["data", "convert", &demo().data(), &data]).ok();
    let sound = json(&["data", "check", &data, "--json"]);
    assert_eq!(sound["errors"], 0, "{sound}");

    let broken = dir.path().join("data/images/train/scene00000.jpg");
    std::fs::write(&broken, "no image").unwrap();
    let done = mlcls(["data", "check", &data]);
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("scene00000") && done.stdout.contains("1 error"), "{}", done.stdout);

    let out = dir.path().join("mended");
    let path = out.display().to_string();
    let done = mlcls(["data", "check", &data, "--fix", &path]).ok();
    assert!(done.stdout.contains("left out 1 image of train"), "{}", done.stdout);
    assert!(!ids(&out, "train").contains("scene00000"));
    assert_eq!(json(&["data", "check", &path, "--json"])["errors"], 0);
}

#[test]
fn a_hash_tells_whether_anything_has_changed_also_in_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy").display().to_string();
    mlcls(["data", "convert", &demo().data(), &copy]).ok();
    let hashes = |data: &str| {
        let stats = json(&["data", "stats", data, "--hash", "--json"]);
        ["fingerprint", "content_hash"].map(|key| stats[key].as_str().unwrap().to_owned())
    };
    let [annotations, everything] = hashes(&demo().data());
    assert_eq!(everything.len(), 64);
    assert_eq!(hashes(&copy), [annotations.clone(), everything.clone()]);
    let text = mlcls(["data", "stats", &copy, "--hash"]).ok().stdout;
    assert!(text.contains(&format!("\nannotations {annotations}\neverything  {everything}\n")), "{text}");

    let image = Path::new(&copy).join("images/train/scene00000.jpg");
    let mut bytes = std::fs::read(&image).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    let [same, other] = hashes(&copy);
    assert!(same == annotations && other != everything);
    assert!(json(&["data", "stats", &copy, "--json"]).get("content_hash").is_none());
}
