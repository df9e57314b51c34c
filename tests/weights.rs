//! `mlcls weights`: what there is, where it is looked for, and its hash.

use std::fs;

use serde_json::Value;

use crate::util::{command, demo, finish, mlcls, nowhere};

const TAG: &str = "mobilenetv3_large_100.ra_in1k";

#[test]
fn every_published_set_is_listed_with_its_place() {
    let text = mlcls(["weights", "list"]).ok().stdout;
    for part in [TAG, "tf_efficientnetv2_s.in21k", "ImageNet-21k", "mlcls weights fetch"] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
    let listed: Value =
        serde_json::from_str(&mlcls(["weights", "list", "mobilenet_v3_large", "--json"]).ok().stdout)
            .unwrap();
    let all = listed.as_array().unwrap();
    assert!(all.len() > 1 && all.iter().all(|one| one["model"] == "mobilenet_v3_large"));
    assert_eq!(all.iter().filter(|one| one["default"] == true).count(), 1);
    assert_eq!((&all[0]["weights"], &all[0]["path"]), (&TAG.into(), &Value::Null));
    let place = nowhere().join("mlcls").join(format!("{TAG}.safetensors"));
    assert_eq!(all[0]["place"], place.to_str().unwrap());
}

#[test]
fn weights_put_there_by_hand_are_found_and_hashed() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join(format!("mlcls/{TAG}.safetensors"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(demo().best(), &place).unwrap();
    let run = |args: &[&str]| finish(command(args).env("HF_HOME", home.path())).ok().stdout;
    assert!(run(&["weights", "list"]).contains(place.to_str().unwrap()));
    let found: Value =
        serde_json::from_str(&run(&["weights", "fetch", "mobilenet_v3_large", "--json"])).unwrap();
    assert_eq!((&found["weights"], &found["source"]), (&TAG.into(), &"file".into()));
    assert_eq!(found["bytes"], fs::metadata(&place).unwrap().len());
    // Another program agrees on the hash.
    let sums = std::process::Command::new("sha256sum").arg(&place).output().unwrap().stdout;
    let sum = String::from_utf8(sums).unwrap();
    assert_eq!(found["sha256"].as_str().unwrap(), sum.split(' ').next().unwrap());
    assert!(run(&["weights", "fetch", "mobilenet_v3_large"]).contains(sum.split(' ').next().unwrap()));
}

#[test]
fn what_cannot_be_had_says_what_to_download() {
    let done = mlcls(["weights", "fetch", "efficientnet_b0"]);
    assert_eq!(done.code, Some(1));
    for part in ["efficientnet_b0.ra_in1k", "Put model.safetensors of", "nowhere"] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
    let message = |args: &[&str]| mlcls(args).stderr;
    assert!(message(&["weights", "fetch", "efficientnet_b0", "--pretrained", "none"]).contains("random"));
    assert!(message(&["weights", "list", "efficientnet_b1"]).contains("efficientnet_b0"));
    assert!(
        message(&["weights", "fetch", "efficientnet_b0", "--pretrained", "efficientnet_b0.ra_in22k"])
            .contains("efficientnet_b0.ra_in1k")
    );
}
