//! `mlcls probe` and `mlcls suggest`: what they write is what the other commands take.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::util::{SMALL_MODEL, command, demo, finish, mlcls};

/// A probe of the demo's data with the demo's own backbone; features are kept in `folder`.
fn probe(folder: &Path, out: &str, more: &[&str]) -> Vec<String> {
    let (out, cache) = (folder.join(out).display().to_string(), folder.join("cache").display().to_string());
    let (data, weights) = (demo().data(), demo().best());
    let fixed = ["probe", &data, "--backbone", SMALL_MODEL, "--pretrained", &weights, "--image-size", "32"];
    let places = ["--out", &out, "--cache", &cache];
    fixed.iter().chain(&places).chain(more).map(|s| (*s).to_owned()).collect()
}

fn json(args: &[String]) -> Value {
    serde_json::from_str(&mlcls(args).ok().stdout).unwrap()
}

fn map(report: &Value) -> f64 {
    report["report"]["mAP"].as_f64().unwrap()
}

#[test]
fn a_probe_is_a_checkpoint_like_any_other_and_its_features_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let first = json(&probe(folder.path(), "first", &["--json"]));
    assert_eq!(first["cached"], 0);
    let run = folder.path().join("first").display().to_string();
    let evaluated: Value =
        serde_json::from_str(&mlcls(["eval", &run, &demo().data(), "--json"]).ok().stdout).unwrap();
    assert_eq!(evaluated["report"], first["evaluation"]["report"], "from features and from images");
    assert_eq!(evaluated["split"], "test");

    let second = json(&probe(folder.path(), "second", &["--json"]));
    assert_eq!(second["cached"], second["images"]);
    assert_eq!(second["cross_validation"], first["cross_validation"]);
    let checkpoint =
        |run: &str| fs::read(folder.path().join(run).join("checkpoints/best.safetensors")).unwrap();
    assert!(checkpoint("first") == checkpoint("second"), "the same bits");

    for command in ["thresholds", "report"] {
        mlcls([command, &run, &demo().data()]).ok();
    }
    mlcls(["explain", &run, &demo().image(0), "--out", &format!("{run}/maps"), "--all-labels"]).ok();
    mlcls(["export", &run]).ok();
    assert!(folder.path().join("first/checkpoints/best.onnx").exists());
}

/// The whole way of a backbone that candle runs. Its weights are random: what is shown is that everything agrees about them.
#[test]
fn a_foundation_backbone_is_probed_and_used_but_not_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (demo().data(), folder.path().join("run").display().to_string());
    let fixed = ["probe", &data, "--backbone", "dinov2_small", "--pretrained", "none", "--image-size", "28"];
    let text = mlcls(fixed.iter().chain(&["--no-cache", "--out", &run])).ok().stdout;
    assert!(text.starts_with("vit_small_patch14_dinov2, random weights\n768 features"), "{text}");
    assert!(text.contains("mlcls suggest") && !text.contains("mlcls train"), "{text}");

    let probed: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("run/probe.json")).unwrap()).unwrap();
    let evaluated: Value = serde_json::from_str(&mlcls(["eval", &run, &data, "--json"]).ok().stdout).unwrap();
    assert_eq!(evaluated["report"], probed["evaluation"]["report"], "from features and from images");
    let maps = folder.path().join("maps").display().to_string();
    mlcls(["explain", &run, &demo().image(0), "--out", &maps]).ok();
    for command in ["thresholds", "report"] {
        mlcls([command, &run, &data]).ok();
    }
    mlcls(["export", &run]).ok();
    assert!(folder.path().join("run/checkpoints/best.onnx").exists());
    let image = demo().image(0);
    let predicted = mlcls(["predict", &run, &image]).ok().stdout;
    assert!(predicted.starts_with(&format!("{image}  ")), "{predicted}");
    let table = folder.path().join("new.csv").display().to_string();
    let suggested = mlcls(["suggest", &run, &image, "--out", &table]).ok().stdout;
    assert!(suggested.contains("1 of 1 images"), "{suggested}");

    let refused = mlcls(["train", &data, "--model", "dinov2_small"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("stays frozen") && refused.stderr.contains("mlcls probe"),
        "{refused:#?}"
    );
}

#[test]
fn a_head_on_trained_features_is_far_better_than_chance_and_the_curve_rises() {
    let folder = tempfile::tempdir().unwrap();
    for head in ["logistic", "cosine"] {
        let found = json(&probe(folder.path(), head, &["--json", "--head", head, "--curve"]));
        let report = &found["evaluation"];
        let labels = report["report"]["per_label"].as_array().unwrap();
        let share = |l: &Value| {
            let (p, n) = (l["positives"].as_f64().unwrap(), l["negatives"].as_f64().unwrap());
            p / (p + n)
        };
        // The mAP of scores that say nothing is about the share of positives.
        let chance = labels.iter().map(share).sum::<f64>() / labels.len() as f64;
        assert!(map(report) > chance + 0.1, "{head}: {} where chance is {chance}", map(report));
        let points = found["curve"]["points"].as_array().unwrap();
        assert_eq!(points.len(), 4);
        assert_eq!(points[3]["maps"][0].as_f64().unwrap(), map(report), "{head}: all images");
        let page = fs::read_to_string(folder.path().join(head).join("curve.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("Learning curve"));
    }
    let text = mlcls(probe(folder.path(), "text", &[])).ok().stdout;
    for words in ["from the cache", "cross-validated", "chosen", "mAP", "next:", "--head cosine"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn fine_tuning_goes_on_with_the_command_that_a_probe_prints() {
    let folder = tempfile::tempdir().unwrap();
    let text = mlcls(probe(folder.path(), "cosine", &["--head", "cosine"])).ok().stdout;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("mlcls train ")).unwrap();
    let args: Vec<&str> = ["train"].into_iter().chain(line.split_whitespace()).collect();
    let dry = mlcls(args.into_iter().chain(["--dry-run"])).ok().stdout;
    assert!(dry.contains("backbone and 6 of 6 labels"), "{line}: {dry}");
}

#[test]
fn a_probe_that_cannot_be_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let message = |args: Vec<String>| {
        let done = mlcls(args);
        assert_eq!(done.code, Some(1), "{done:#?}");
        done.stderr
    };
    let misspelt = message(probe(folder.path(), "a", &["--split", "tset"]));
    assert!(misspelt.contains("did you mean `test`?"), "{misspelt}");
    assert!(!folder.path().join("a").exists(), "nothing is left of it");
    let backbone = ["probe", &demo().data(), "--backbone", "mobilenet", "--no-cache"].map(str::to_owned);
    assert!(message(backbone.to_vec()).contains("mobilenet_v3_large"));
    fs::create_dir_all(folder.path().join("full/of")).unwrap();
    assert!(message(probe(folder.path(), "full", &[])).contains("not empty"));
    assert!(message(probe(folder.path(), "b", &["--train", "tarin"])).contains("`train`"));
    let strength = mlcls(probe(folder.path(), "c", &["--strength", "-1"]));
    assert_eq!(strength.code, Some(2));
}

#[test]
fn suggestions_are_read_back_with_what_is_undecided_as_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let images = Path::new(&demo().data()).join("images/test").display().to_string();
    let out = folder.path().join("new").display().to_string();
    let best = demo().best();
    let all =
        ["suggest", &best, &images, "--out", &out, "--count", "20", "--present", "0.6", "--absent", "0.3"];
    let text = mlcls(all).ok().stdout;
    assert!(text.starts_with("20 of 24 images"), "{text}");
    let stats: Value = serde_json::from_str(&mlcls(["data", "stats", &out, "--json"]).ok().stdout).unwrap();
    let split = &stats["splits"][0];
    assert_eq!((split["name"].as_str(), split["images"].as_u64()), (Some("train"), Some(20)));
    let said = |what: &str| -> usize {
        let before = text.split(&format!(" {what}")).next().unwrap();
        before.rsplit(|c: char| !c.is_ascii_digit()).find(|n| !n.is_empty()).unwrap().parse().unwrap()
    };
    assert_eq!(split["unknown"].as_u64().unwrap() as usize, said("left unknown"), "{text}");

    let scores = fs::read_to_string(folder.path().join("new.scores.csv")).unwrap();
    let doubts: Vec<f64> =
        scores.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(doubts.len() == 20 && doubts.is_sorted_by(|a, b| a >= b), "{doubts:?}");

    // A table among the images trains as it is.
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for number in 0..12 {
        let image = demo().image(number);
        fs::copy(&image, copy.join(Path::new(&image).file_name().unwrap())).unwrap();
    }
    fs::write(copy.join("notes.jpg"), "no image").unwrap();
    let table = copy.join("suggestions.csv").display().to_string();
    let sure = ["suggest", &best, &copy.display().to_string(), "--out", &table, "--order", "sure"];
    let done = finish(&mut command(sure));
    assert_eq!(done.code, Some(1), "one file is no image: {done:#?}");
    assert!(done.stderr.contains("notes.jpg") && done.stdout.contains("12 of 12 images"), "{done:#?}");
    let stats: Value = serde_json::from_str(&mlcls(["data", "stats", &table, "--json"]).ok().stdout).unwrap();
    assert_eq!(stats["splits"][0]["images"], 12);

    let twice = mlcls(["suggest", &best, &images, "--out", &out]);
    assert!(twice.code == Some(1) && twice.stderr.contains("not empty"), "{twice:#?}");
}
