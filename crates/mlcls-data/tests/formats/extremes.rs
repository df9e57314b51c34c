//! Symbolic links, label lists of a million names, keys that come twice: right or refused, and soon.

use std::time::{Duration, Instant};

use mlcls_data::{ImageCheck, verify_images};

use crate::support::{Dir, items, states};

/// A Datumaro file of these labels and items.
fn datumaro(labels: &[String], items: &str) -> String {
    let labels: Vec<String> = labels.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    format!(r#"{{"categories":{{"label":{{"labels":[{}]}}}},"items":[{items}]}}"#, labels.join(","))
}

fn million(prefix: &str) -> Vec<String> {
    (0..1_000_000).map(|i| format!("{prefix}{i}")).collect()
}

/// Quadratic time in a million labels would be hours.
#[track_caller]
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    result
}

#[test]
fn a_million_labels_are_read_also_when_all_are_unknown() {
    let labels = million("l");
    let quoted: Vec<String> = labels.iter().map(|name| format!("\"{name}\"")).collect();
    let all_unknown = format!(r#"{{"id":"b","attr":{{"ignored_labels":[{}]}}}}"#, quoted.join(","));
    let item = r#"{"id":"a","annotations":[{"type":"label","label_id":999999}]}"#;
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", datumaro(&labels, &format!("{item},{all_unknown}")));
    let dataset = soon(|| dir.open());
    assert_eq!(dataset.labels, labels);
    let train = &dataset.splits[0].items;
    assert_eq!(states(&train[0]), "-".repeat(999_999) + "+");
    assert_eq!(states(&train[1]), "?".repeat(1_000_000));
}

#[test]
fn a_million_labels_that_differ_are_said_soon() {
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", datumaro(&million("l"), r#"{"id":"a"}"#));
    dir.file("annotations/val.json", datumaro(&million("m"), r#"{"id":"b"}"#));
    let error = soon(|| dir.error());
    assert!(error.contains("only the first has `l0`, ") && error.contains("and 999992 more"), "{error}");
    let twice = [million("l"), vec!["l7".to_owned()]].concat();
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", datumaro(&twice, r#"{"id":"a"}"#));
    let error = soon(|| dir.error());
    assert!(error.contains("labels[1000000].name: the label `l7` is listed a second time"), "{error}");
}

#[test]
fn more_label_states_than_memory_are_refused_before_they_take_it() {
    let ids: Vec<String> = (0..5_000).map(|i| format!(r#"{{"id":"{i}"}}"#)).collect();
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", datumaro(&million("l"), &ids.join(",")));
    let error = soon(|| dir.error());
    let expected =
        "train.json: items: 5000 items with 1000000 labels each are more than 4294967296 label states";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_million_objects_in_one_annotation_are_refused() {
    let dir = Dir::new();
    let objects = "<object><name>cat</name></object>".repeat(1_000_000);
    dir.folder("JPEGImages").file("ImageSets/Main/train.txt", "a\n");
    dir.file("Annotations/a.xml", format!("<annotation>{objects}</annotation>"));
    let error = soon(|| dir.error());
    assert!(error.contains("a.xml:") && error.contains("nodes limit"), "{error}");
}

#[test]
fn a_million_lines_in_a_list_are_read() {
    let dir = Dir::new();
    let ids: String = (0..1_000_000).map(|i| format!("{i}\n")).collect();
    let marks: String = (0..1_000_000).map(|i| format!("{i} {}\n", if i == 7 { 1 } else { -1 })).collect();
    dir.folder("JPEGImages")
        .file("ImageSets/Main/train.txt", ids)
        .file("ImageSets/Main/cat_train.txt", marks);
    let dataset = soon(|| dir.open());
    assert_eq!(dataset.splits[0].items.len(), 1_000_000);
    assert_eq!(states(&dataset.splits[0].items[7]), "+");
}

#[test]
fn keys_that_come_twice_are_refused() {
    for (text, problem) in [
        (
            r#"{"categories":{"label":{"labels":[]}},"categories":{"label":{"labels":[]}},"items":[]}"#,
            "categories",
        ),
        (r#"{"categories":{"label":{"labels":[],"labels":[]}},"items":[]}"#, "labels"),
        (r#"{"categories":{"label":{"labels":[{"name":"a","name":"b"}]}},"items":[]}"#, "name"),
        (r#"{"categories":{"label":{"labels":[{"name":"a"}]}},"items":[],"items":[]}"#, "items"),
    ] {
        let dir = Dir::new();
        dir.folder("images").file("annotations/train.json", text);
        let error = dir.error();
        assert!(error.contains(&format!("duplicate field `{problem}`")), "{error}");
    }
    let dir = Dir::new();
    dir.folder("JPEGImages").file("ImageSets/Main/train.txt", "a\n");
    dir.file(
        "Annotations/a.xml",
        r#"<annotation a="1" a="2"><object><name>cat</name></object></annotation>"#,
    );
    assert!(dir.error().contains("attribute 'a'"), "{}", dir.error());
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A data set of one image.
    fn sound() -> Dir {
        let dir = Dir::new();
        let item = r#"{"id":"a","annotations":[{"type":"label","label_id":0}]}"#;
        let mut png = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(4, 3).write_to(&mut png, image::ImageFormat::Png).unwrap();
        dir.file("images/a.jpg", png.into_inner());
        dir.file("annotations/train.json", datumaro(&["cat".to_owned()], item));
        dir
    }

    #[test]
    fn links_that_the_user_made_are_followed() {
        let (there, here) = (sound(), Dir::new());
        symlink(there.path(), here.join("whole")).unwrap();
        symlink(there.join("annotations"), here.join("annotations")).unwrap();
        here.folder("images");
        symlink(there.join("images/a.jpg"), here.join("images/a.jpg")).unwrap();
        // Nor does a link back to the folder that it lies in lead anywhere twice.
        symlink(here.path(), here.join("images/up")).unwrap();
        symlink(here.path(), here.join("up")).unwrap();
        for root in [here.path().to_owned(), here.join("whole")] {
            let dataset = mlcls_data::Dataset::open(root, &Default::default()).unwrap();
            assert_eq!(items(&dataset, "train"), ["a +"]);
            assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
        }
    }

    #[test]
    fn circles_of_links_end_in_an_error() {
        let circle = |path: &str| {
            let dir = sound();
            let (old, kept) = (dir.join(path), dir.join("kept"));
            std::fs::rename(&old, &kept).unwrap();
            symlink(&old, &old).unwrap();
            dir
        };
        let error = soon(|| circle("annotations").error());
        assert!(error.contains("no data set here"), "{error}");
        assert!(circle("annotations/train.json").error().contains("no data set here"));
        assert_eq!(circle("images").error(), "ROOT/images: no such folder");
        let dataset = circle("images/a.jpg").open();
        let bad = verify_images(&dataset, ImageCheck::Quick);
        assert_eq!(bad.len(), 1);
        assert!(bad[0].to_string().contains("cannot be read"), "{}", bad[0]);
        let dir = Dir::new();
        symlink(dir.join("b"), dir.join("a")).unwrap();
        symlink(dir.join("a"), dir.join("b")).unwrap();
        let error = dir.error_at("a");
        assert!(error.starts_with("ROOT/a: "), "{error}");
        // A folder with nothing in it but ways back to itself.
        let dir = Dir::new();
        for name in ["a", "b", "c"] {
            symlink(dir.path(), dir.join(name)).unwrap();
        }
        let error = soon(|| dir.error());
        assert!(error.contains("no data set here"), "{error}");
    }
}
