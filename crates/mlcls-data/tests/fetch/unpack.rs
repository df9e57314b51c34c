//! From whole archives to folders that can be read.

use std::fs;
use std::path::Path;

use mlcls_data::fetch::{Source, Tree, fetch};
use mlcls_data::{Dataset, ReadOptions};

use crate::archives::{archive, fetch_into, names, source, tar, zip};

const NOWHERE: &str = "http://127.0.0.1:1";

/// A data set of this archive, which lies in the folder already.
fn placed(folder: &Path, name: &str, content: &[u8]) -> Source {
    fs::write(folder.join(name), content).unwrap();
    source(vec![archive(format!("{NOWHERE}/{name}"), content)])
}

#[test]
fn two_archives_fill_one_tree_that_can_be_read_as_it_is() {
    let annotation = |name: &str| {
        format!("<annotation><object><name>{name}</name><difficult>0</difficult></object></annotation>")
    };
    let (cat, dog) = (annotation("cat"), annotation("dog"));
    let trainval = tar(&[
        ("set/", b""),
        ("set/VOC2007/ImageSets/Main/train.txt", b"000001\n"),
        ("set/VOC2007/ImageSets/Main/val.txt", b"000002\n"),
        ("set/VOC2007/Annotations/000001.xml", cat.as_bytes()),
        ("set/VOC2007/Annotations/000002.xml", dog.as_bytes()),
        ("set/VOC2007/JPEGImages/000001.jpg", b"1"),
        ("set/VOC2007/JPEGImages/000002.jpg", b"2"),
    ]);
    let test = tar(&[
        // Both archives name the folders, and may hold the same file.
        ("set/VOC2007/", b""),
        ("set/VOC2007/Annotations/000002.xml", dog.as_bytes()),
        ("set/VOC2007/ImageSets/Main/test.txt", b"000003\n"),
        ("set/VOC2007/Annotations/000003.xml", dog.as_bytes()),
        ("set/VOC2007/JPEGImages/000003.jpg", b"3"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let archives = [("trainval.tar", &trainval), ("test.tar", &test)];
    let archives = archives.map(|(name, content)| {
        fs::write(folder.path().join(name), content).unwrap();
        archive(format!("{NOWHERE}/{name}"), content)
    });
    let holds = &[("set/VOC2007/JPEGImages", 3)];
    let tree = Tree { folder: "set", holds, archives: archives.to_vec().leak() };
    let wanted = Source { name: "voc", title: "VOC", trees: vec![tree].leak() };
    let (result, said) = fetch_into(folder.path(), &wanted, None);
    assert!(result.unwrap());
    assert_eq!(said, ["Check trainval.tar", "Check test.tar", "Unpack trainval.tar", "Unpack test.tar"]);
    assert_eq!(names(folder.path()), ["set", "test.tar", "trainval.tar"]);
    let dataset = Dataset::open(folder.path().join("set"), &ReadOptions::default()).unwrap();
    assert_eq!(dataset.labels, ["cat", "dog"]);
    let splits: Vec<(&str, usize)> =
        dataset.splits.iter().map(|s| (s.name.as_str(), s.items.len())).collect();
    assert_eq!(splits, [("train", 1), ("val", 1), ("test", 1)]);
}

#[test]
fn a_zip_file_is_unpacked_and_strange_entries_beside_the_tree_are_dropped() {
    let long = "x".repeat(2_000);
    let content =
        zip(&[("set/", b""), ("set/sub/a.txt", long.as_bytes()), ("./set//b.txt", b""), ("other/c", b"c")]);
    let folder = tempfile::tempdir().unwrap();
    assert!(fetch_into(folder.path(), &placed(folder.path(), "a.zip", &content), None).0.unwrap());
    assert_eq!(names(folder.path()), ["a.zip", "set"]);
    assert_eq!(names(&folder.path().join("set")), ["b.txt", "sub"]);
    assert_eq!(fs::read_to_string(folder.path().join("set/sub/a.txt")).unwrap(), long);
}

#[test]
fn each_tree_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let good = zip(&[("good/a", b"a")]);
    let short = zip(&[("short/a", b"a")]);
    let trees = [("good", &good, 1), ("short", &short, 2)].map(|(name, content, files)| {
        let file = format!("{name}.zip");
        fs::write(path.join(&file), content).unwrap();
        let archives = vec![archive(format!("{NOWHERE}/{file}"), content)].leak();
        Tree { folder: name, holds: vec![(name, files)].leak(), archives }
    });
    let wanted = Source { name: "both", title: "Both", trees: trees.to_vec().leak() };
    // Left by a run that was killed.
    fs::create_dir_all(path.join(".unpacking/short")).unwrap();
    fs::write(path.join(".unpacking/short/b"), b"b").unwrap();
    let message = fetch_into(path, &wanted, None).0.unwrap_err().to_string();
    assert!(message.contains("short: unpacked, short holds 1 files; expected 2"), "{message}");
    assert_eq!(names(path), ["good", "good.zip", "short.zip"]);
}

#[test]
fn a_tree_that_is_there_in_part_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("set")).unwrap();
    let wanted = source(vec![archive(format!("{NOWHERE}/a.tar"), b"")]);
    let message = fetch_into(folder.path(), &wanted, None).0.unwrap_err().to_string();
    let set = folder.path().join("set");
    let expected = format!(
        "{0}: holds 0 files; expected 1. Remove or rename {0}, then run the command again",
        set.display()
    );
    assert_eq!(message, expected);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let wanted = source(vec![archive(format!("{NOWHERE}/a.tar"), b"")]);
    let message = fetch(&wanted, &file.join("x"), &Default::default(), &mut |_| ()).unwrap_err().to_string();
    assert!(message.contains("file/x: cannot be made: "), "{message}");
}
