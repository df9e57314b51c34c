//! `mlcls data fetch`: what the user sees where there is no network, a wrong file, or nothing to do.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::util::mlcls;

/// A port below 1024: the system never hands it to a server of another test.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn without_a_network_it_says_what_to_get_and_where_to_put_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("voc").display().to_string();
    let done = mlcls(["data", "fetch", "voc2007", "--to", &folder, "--mirror", NOBODY]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    for part in [
        &format!("error: {NOBODY}/VOCtrainval_06-Nov-2007.tar: the download failed: "),
        &format!("Get these files another way, put them into {folder}, and run the command again"),
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar\n    \
         460032000 bytes, md5 c52e279531787c972589f7e41ab4ae64",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar\n    \
         451020800 bytes, md5 b6e924de25625d8de591ea690078ad9f",
    ] {
        assert!(done.stderr.contains(part), "no {part:?} in: {}", done.stderr);
    }
    // A wrong file in the way is not taken for the right one.
    fs::write(dir.path().join("voc/VOCtrainval_06-Nov-2007.tar"), "<html>").unwrap();
    let done = mlcls(["data", "fetch", "voc2007", "--to", &folder, "--mirror", NOBODY]);
    let warning = "warning: the file has 6 bytes; expected 460032000; renamed to ";
    assert!(done.stderr.contains(warning), "{}", done.stderr);
}

#[test]
fn a_mirror_with_another_file_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}/coco", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let n = stream.read(&mut request).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let done = mlcls(["data", "fetch", "coco2014", "--to", &folder, "--mirror", &mirror]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("the server's file has 5 bytes; expected 252872794"), "{}", done.stderr);
    assert!(server.join().unwrap().starts_with("GET /coco/annotations_trainval2014.zip HTTP/1.1\r\n"));
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    for kind in ["JPEGImages", "Annotations"] {
        let folder = dir.path().join("VOCdevkit/VOC2007").join(kind);
        fs::create_dir_all(&folder).unwrap();
        for number in 1..=9_963 {
            fs::write(folder.join(format!("{number:06}")), "").unwrap();
        }
    }
    let done = mlcls(["data", "fetch", "voc2007", "--to", &folder, "--mirror", NOBODY]).ok();
    assert!(done.stdout.starts_with(&format!("PASCAL VOC 2007 is in {folder} already\n")), "{}", done.stdout);
    fs::remove_file(dir.path().join("VOCdevkit/VOC2007/Annotations/000001")).unwrap();
    let done = mlcls(["data", "fetch", "voc2007", "--to", &folder, "--mirror", NOBODY]);
    assert!(
        done.stderr.contains("Annotations: holds 9962 files; expected 9963. Remove or rename "),
        "{}",
        done.stderr
    );
}

#[test]
fn an_unknown_name_is_wrong_usage_and_the_known_ones_are_listed() {
    let done = mlcls(["data", "fetch", "voc2012"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("[possible values: voc2007, coco2014]"), "{}", done.stderr);
}
