//! Archives that want to write elsewhere, or more than they should: refused, and nothing is left of them.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use tar::EntryType;
use zip::write::SimpleFileOptions;

use crate::archives::{archive, fetch_into, names, source, tar, zip};

/// The message for an archive of this name and content. Its folder lies two levels below a folder of its own, so that what
/// escapes is seen.
fn refused(name: &str, content: &[u8]) -> String {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a/b");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), content).unwrap();
    let wanted = source(vec![archive(format!("http://127.0.0.1:1/{name}"), content)]);
    let message = fetch_into(&folder, &wanted, None).0.unwrap_err().to_string();
    assert_eq!(names(&folder), [name], "nothing is left of it");
    assert_eq!(
        (names(outer.path()), names(&outer.path().join("a"))),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    message.replace(folder.to_str().unwrap(), "FOLDER")
}

#[test]
fn paths_that_lead_out_are_refused() {
    let elsewhere = std::env::temp_dir().join("mlcls-escaped.txt");
    assert!(!elsewhere.exists());
    for name in [
        "../escaped.txt",
        "set/../../escaped.txt",
        "..",
        "set/..",
        elsewhere.to_str().unwrap(),
        "/",
        "//escaped.txt",
        "C:/escaped.txt",
        "set/..\\..\\escaped.txt",
    ] {
        let files: &[(&str, &[u8])] = &[("set/good.txt", b"good"), (name, b"bad")];
        let expected = format!("the entry {name:?} is not a path inside the archive");
        assert_eq!(refused("a.tar", &tar(files)), format!("FOLDER/a.tar: {expected}"));
        assert_eq!(refused("a.zip", &zip(files)), format!("FOLDER/a.zip: {expected}"));
    }
    assert!(!elsewhere.exists());
}

/// A tar file with a good file, then an entry of a kind that is not a file, then a file that goes through it.
fn tar_with(kind: EntryType, link: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_path("set/link").unwrap();
    if !link.is_empty() {
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    }
    header.set_cksum();
    archive.append(&header, &b""[..]).unwrap();
    let through = tar(&[("set/link/escaped.txt", b"bad")]);
    [archive.into_inner().unwrap()[..512].to_vec(), through].concat()
}

#[test]
fn links_and_devices_are_refused() {
    for (kind, link) in [
        (EntryType::Symlink, "/"),
        (EntryType::Symlink, "../.."),
        (EntryType::Symlink, "good.txt"),
        (EntryType::Link, "../../../a"),
        (EntryType::Char, ""),
        (EntryType::Block, ""),
        (EntryType::Fifo, ""),
        (EntryType::Continuous, ""),
    ] {
        let message = refused("a.tar", &tar_with(kind, link));
        let expected = format!("the entry \"set/link\" is of kind {kind:?}; expected a file or a folder");
        assert!(message.contains(&expected), "{message}");
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.add_symlink("set/link", "../..", SimpleFileOptions::default()).unwrap();
    archive.start_file("set/link/escaped.txt", SimpleFileOptions::default()).unwrap();
    archive.write_all(b"bad").unwrap();
    let message = refused("a.zip", &archive.finish().unwrap().into_inner());
    assert!(message.contains("\"set/link\" is of kind 120000; expected a file or a folder"), "{message}");
}

#[test]
fn more_bytes_than_allowed_are_refused_before_and_while_they_are_written() {
    // Claimed in the header of a tar file.
    let mut archive = tar(&[("set/a.bin", b"a")]);
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&archive[..512]);
    header.set_size(1 << 40);
    header.set_cksum();
    archive[..512].copy_from_slice(header.as_bytes());
    let message = refused("a.tar", &archive);
    assert!(message.contains("\"set/a.bin\" claims 1099511627776 bytes; "), "{message}");
    // Deflated zeros: 1,000 times their size, over several files that are each within the limit.
    let zeros = vec![0; 60_000];
    let names: Vec<String> = (0..100).map(|i| format!("set/{i}.bin")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &zeros[..])).collect();
    let bomb = zip(&files);
    assert!(bomb.len() < 40_000);
    let message = refused("a.zip", &bomb);
    assert!(message.contains(" claims 60000 bytes; ") && message.contains(" left of the limit"), "{message}");
}

#[test]
fn a_zip_file_that_lies_about_its_sizes_is_damaged() {
    let content = vec![0; 5_000];
    let honest = zip(&[("set/a.bin", &content), ("set/b.bin", b"b")]);
    let size = 5_000u32.to_le_bytes();
    let places: Vec<usize> = (0..honest.len() - 4).filter(|&i| honest[i..i + 4] == size).collect();
    assert!(!places.is_empty());
    for lie in [1u32, 20_000] {
        let mut archive = honest.clone();
        for &place in &places {
            archive[place..place + 4].copy_from_slice(&lie.to_le_bytes());
        }
        let message = refused("a.zip", &archive);
        assert!(message.contains("the entry \"set/a.bin\" "), "{message}");
    }
}

#[test]
fn a_file_that_is_there_twice_is_refused() {
    let files: &[(&str, &[u8])] = &[("set/a", b"one"), ("set/b", b"b"), ("set/./a", b"two")];
    for (name, content) in [("a.tar", tar(files)), ("a.zip", zip(files))] {
        let message = refused(name, &content);
        assert!(message.contains("the entry \"set/./a\" is there twice"), "{message}");
    }
    // A file where a folder must be, and the other way round.
    for files in [[("set/a", &b"file"[..]), ("set/a/b", b"b")], [("set/a/b", b"b"), ("set/a", b"file")]] {
        let message = refused("a.tar", &tar(&files));
        assert!(message.contains("cannot be "), "{message}");
    }
}

#[test]
fn cut_and_damaged_archives_are_refused() {
    let noise: Vec<u8> = (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let files: &[(&str, &[u8])] = &[("set/a.bin", &noise), ("set/b.bin", &noise)];
    let whole = tar(files);
    for end in [100, 511, 513, 20_000, 51_000, 60_000] {
        let message = refused("a.tar", &whole[..end]);
        assert!(message.starts_with("FOLDER/"), "{end}: {message}");
    }
    let message = refused("a.tar", &whole[..20_000]);
    assert!(message.contains("\"set/a.bin\" has 19488 bytes; expected 50000"), "{message}");
    let mut damaged = whole.clone();
    damaged[10] ^= 1; // in the header, which has a sum
    assert!(refused("a.tar", &damaged).contains("the archive is damaged"));

    let whole = zip(files);
    for end in [0, 100, whole.len() / 2, whole.len() - 1] {
        assert!(refused("a.zip", &whole[..end]).contains("the archive is damaged"), "{end}");
    }
    let mut damaged = whole;
    damaged[2_000] ^= 1; // in the data, which has a sum of its own
    let message = refused("a.zip", &damaged);
    assert!(message.contains("\"set/a.bin\" cannot be unpacked"), "{message}");
    assert!(refused("a.zip", b"<html>not found</html>").contains("the archive is damaged"));
    assert!(refused("a.tar", b"").contains("expected 1"));
}

#[test]
fn links_that_the_user_made_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let content = tar(&[("set/a", b"a")]);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("a.tar"), &content).unwrap();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    link(&disk.join("a.tar"), &place.join("a.tar"));
    let wanted = source(vec![archive("http://127.0.0.1:1/a.tar".to_owned(), &content)]);
    assert!(fetch_into(&place, &wanted, None).0.unwrap());
    assert_eq!(names(&place), ["a.tar", "set"]);
    assert_eq!(names(&disk), ["a.tar"]);
}

#[cfg(unix)]
fn link(original: &Path, link: &Path) {
    std::os::unix::fs::symlink(original, link).unwrap();
}

#[cfg(windows)]
fn link(original: &Path, link: &Path) {
    std::os::windows::fs::symlink_file(original, link).unwrap();
}
