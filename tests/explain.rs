//! `mlcls explain`: its files, and which labels get them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::util::{demo, mlcls};

/// Lines of `--json`.
fn explain(out: &Path, more: &[&str], images: &[String]) -> Vec<Value> {
    let (out, checkpoint) = (out.display().to_string(), demo().best());
    let fixed = ["explain", &checkpoint, "--out", &out, "--json"];
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let stdout = mlcls(fixed.iter().chain(more).chain(&images)).ok().stdout;
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The float32 values and the shape of a `.npy` file.
fn npy(path: &str) -> (Vec<f32>, String) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = String::from_utf8(bytes[10..128].to_vec()).unwrap();
    let shape = header.split("'shape': ").nth(1).unwrap().split(')').next().unwrap();
    let values = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (values, format!("{shape})"))
}

#[test]
fn predicted_labels_get_a_map_each_and_the_files_agree() {
    let dir = tempfile::tempdir().unwrap();
    let images = [demo().image(0), demo().image(1), demo().image(2)];
    let lines = explain(dir.path(), &["--threshold", "0.4"], &images);
    let best = demo().best();
    let mut words = vec!["predict", &best, "--json", "--threshold", "0.4"];
    words.extend(images.iter().map(String::as_str));
    let predicted = mlcls(words).ok().stdout;
    let mut maps = 0;
    for (line, predicted) in lines.iter().zip(predicted.lines()) {
        let predicted: Value = serde_json::from_str(predicted).unwrap();
        let labels: Vec<&Value> = line["maps"].as_array().unwrap().iter().map(|map| &map["label"]).collect();
        assert_eq!(labels, predicted["labels"].as_array().unwrap().iter().collect::<Vec<_>>());
        for map in line["maps"].as_array().unwrap() {
            let score = &predicted["scores"][map["label"].as_str().unwrap()];
            assert!((map["score"].as_f64().unwrap() - score.as_f64().unwrap()).abs() < 1e-6, "{map} {score}");
            let (raw, shape) = npy(map["npy"].as_str().unwrap());
            let grey = image::open(map["png"].as_str().unwrap()).unwrap().into_luma16();
            assert_eq!(shape, format!("({}, {}, )", grey.height(), grey.width()));
            let (low, high) =
                (raw.iter().copied().fold(1.0, f32::min), raw.iter().copied().fold(0.0, f32::max));
            for (raw, grey) in raw.iter().zip(grey.as_raw()) {
                let expected = 65535.0 * (raw - low) / (high - low).max(1e-12);
                assert!((f32::from(*grey) - expected).abs() < 1.0, "{grey}, expected {expected}");
            }
            let over = image::open(map["overlay"].as_str().unwrap()).unwrap();
            let original = image::open(line["path"].as_str().unwrap()).unwrap();
            assert_eq!((over.width(), over.height()), (original.width(), original.height()));
            maps += 1;
        }
    }
    assert!(maps > 0 && fs::read_dir(dir.path()).unwrap().count() == 3 * maps, "{maps} maps");
}

#[test]
fn options_choose_labels_method_and_weight() {
    let dir = tempfile::tempdir().unwrap();
    let image = [demo().image(3)];
    let all = explain(dir.path(), &["--all-labels"], &image);
    assert_eq!(all[0]["maps"].as_array().unwrap().len(), 6);
    assert_eq!(explain(dir.path(), &["--threshold", "1"], &image)[0]["maps"], Value::Array(vec![]));
    let one = explain(dir.path(), &["--method", "activation", "--overlay-weight", "1"], &image);
    let maps = one[0]["maps"].as_array().unwrap();
    assert!(maps.len() == 1 && maps[0]["label"].is_null(), "{one:?}");
    let pixels = |path: &str| mlcls_data::decode_file(Path::new(path)).unwrap();
    assert_eq!(pixels(maps[0]["overlay"].as_str().unwrap()), pixels(&image[0]));
    assert_eq!(
        explain(dir.path(), &["--method", "gradcam", "--all-labels"], &image)[0]["maps"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[test]
fn images_of_one_name_keep_files_of_their_own_and_bad_ones_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::copy(demo().image(0), dir.path().join(name).join("same.jpg")).unwrap();
    }
    fs::copy(demo().image(1), dir.path().join("b/same-2.jpg")).unwrap(); // as the second of them would be called
    fs::write(dir.path().join("a/broken.jpg"), "no image").unwrap();
    let (out, folder) = (dir.path().join("maps"), dir.path().display().to_string());
    let words = ["explain", &demo().best(), &folder, "--all-labels", "--out", &out.display().to_string()];
    let done = mlcls(words);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.stderr.contains("broken.jpg") && done.stderr.contains("1 of the images"), "{done:#?}");
    assert!(done.stdout.contains("18 maps"), "{done:#?}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3 * 18, "no file over another");
    assert!(
        out.join("same_star_overlay_img.png").exists() && out.join("same-2_star_overlay_img.png").exists()
    );
    let wrong = mlcls(["explain", &demo().best(), &folder, "--method", "magic"]);
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("known: reciprocam, activation, gradcam"),
        "{wrong:#?}"
    );
}
