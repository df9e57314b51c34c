//! What comes over the network, and what happens when it does not.

use std::fs;

use mlcls_data::fetch::FetchError;

use crate::archives::{archive, fetch_into, names, source, tar};
use crate::server::{Answer, Server};

/// An archive of 400 kB, so that halves and quarters of it do not fit into one read.
fn body() -> Vec<u8> {
    let noise: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    tar(&[("set/", b""), ("set/noise.bin", &noise)])
}

/// Fetches [`body`] from a server with these answers; the folder, what came of it, and the server.
fn run(answers: &'static [Answer]) -> (tempfile::TempDir, Result<bool, FetchError>, Server) {
    let server = Server::start(&body(), answers);
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = again(&folder, &server);
    (folder, result, server)
}

fn again(folder: &tempfile::TempDir, server: &Server) -> (Result<bool, FetchError>, Vec<String>) {
    fetch_into(folder.path(), &source(vec![archive(server.url("a.tar"), &body())]), None)
}

#[track_caller]
fn assert_whole(folder: &tempfile::TempDir) {
    assert_eq!(names(folder.path()), ["a.tar", "set"]);
    assert_eq!(fs::read(folder.path().join("a.tar")).unwrap(), body());
    assert_eq!(fs::metadata(folder.path().join("set/noise.bin")).unwrap().len(), 400_000);
}

#[test]
fn a_download_is_checked_and_unpacked_and_not_repeated() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    let (result, said) = again(&folder, &server);
    assert!(result.unwrap());
    assert_whole(&folder);
    assert_eq!(said, ["Download a.tar", "Check a.tar", "Unpack a.tar"]);
    assert_eq!(server.requests(), ["/a.tar"]);

    let (result, said) = again(&folder, &server);
    assert!(!result.unwrap());
    assert_eq!(said, [""; 0]);
    // The archive may go once the tree is there; without the tree it is unpacked again, and not downloaded.
    fs::remove_file(folder.path().join("a.tar")).unwrap();
    assert!(!again(&folder, &server).0.unwrap());
    fs::write(folder.path().join("a.tar"), body()).unwrap();
    fs::remove_dir_all(folder.path().join("set")).unwrap();
    let (result, said) = again(&folder, &server);
    assert!(result.unwrap());
    assert_eq!(said, ["Check a.tar", "Unpack a.tar"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_cut_connection_is_continued_where_it_ended() {
    let (folder, result, server) =
        run(&[Answer::Cut("\"v1\""), Answer::Cut("\"v1\""), Answer::Whole("\"v1\"")]);
    result.unwrap();
    assert_whole(&folder);
    let half = body().len() / 2;
    let rest = half + (body().len() - half) / 2;
    let expected =
        ["/a.tar".to_owned(), format!("/a.tar bytes={half}- \"v1\""), format!("/a.tar bytes={rest}- \"v1\"")];
    assert_eq!(server.requests(), expected);
}

#[test]
fn the_next_run_continues_what_the_last_one_left() {
    let (folder, result, server) = run(&[
        Answer::Cut("\"v1\""),
        Answer::Status(503),
        Answer::Status(503),
        Answer::Status(503),
        Answer::Status(503),
        Answer::Whole("\"v1\""),
    ]);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("the server answers with status 503"), "{message}");
    assert_eq!(names(folder.path()), ["a.tar.part", "a.tar.part.tag"]);
    again(&folder, &server).0.unwrap();
    assert_whole(&folder);
    let half = body().len() / 2;
    assert_eq!(server.requests().last(), Some(&format!("/a.tar bytes={half}- \"v1\"")));
}

#[test]
fn the_time_of_the_last_change_stands_in_for_a_tag_and_a_weak_tag_does_not_count() {
    const CHANGED: &str = "Tue, 06 Nov 2007 10:00:00 GMT";
    let (folder, result, server) = run(&[Answer::Cut(CHANGED), Answer::Whole(CHANGED)]);
    result.unwrap();
    assert_whole(&folder);
    assert!(server.requests()[1].ends_with(CHANGED), "{:?}", server.requests());

    // A weak tag names no version of bytes, and without any tag nothing says that the file is still the same.
    for answers in
        [[Answer::Cut("W/\"v1\""), Answer::Whole("W/\"v1\"")], [Answer::Cut(""), Answer::Whole("")]]
    {
        let (folder, result, server) = run(answers.to_vec().leak());
        result.unwrap();
        assert_whole(&folder);
        assert_eq!(server.requests(), ["/a.tar", "/a.tar"]);
    }
}

#[test]
fn a_server_that_cannot_continue_is_asked_from_the_start() {
    let (folder, result, _) = run(&[Answer::Cut("\"v1\""), Answer::IgnoreRange("\"v1\"")]);
    result.unwrap();
    assert_whole(&folder);
}

#[test]
fn pieces_of_two_versions_are_never_glued_together() {
    for second in [Answer::Whole("\"v2\""), Answer::IgnoreIfRange("\"v2\""), Answer::Shifted("\"v1\"")] {
        let answers = vec![Answer::Cut("\"v1\""), second, Answer::Whole("\"v2\"")].leak();
        let server = Server::start(&body(), answers);
        let folder = tempfile::tempdir().unwrap();
        // What is there already is of another version, and shows where it is glued.
        let (result, _) = again(&folder, &server);
        result.unwrap();
        assert_whole(&folder);
        let requests = server.requests();
        let fresh = requests.iter().filter(|r| *r == "/a.tar").count();
        assert_eq!(fresh, if second == Answer::Whole("\"v2\"") { 1 } else { 2 }, "{second:?}: {requests:?}");
    }
}

#[test]
fn a_piece_of_an_older_version_is_thrown_away() {
    let server = Server::start(&body(), &[Answer::Whole("\"v2\"")]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tar.part"), [7; 1000]).unwrap();
    fs::write(folder.path().join("a.tar.part.tag"), "\"v1\"").unwrap();
    again(&folder, &server).0.unwrap();
    assert_whole(&folder);
    assert_eq!(server.requests(), ["/a.tar bytes=1000- \"v1\""]);
}

#[test]
fn a_piece_longer_than_the_file_is_thrown_away() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tar.part"), vec![7; body().len() + 1]).unwrap();
    fs::write(folder.path().join("a.tar.part.tag"), "\"v1\"").unwrap();
    again(&folder, &server).0.unwrap();
    assert_whole(&folder);
}

#[test]
fn another_file_than_the_published_one_is_kept_aside_and_the_message_has_both_checksums() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    let mut published = body();
    published[70_000] ^= 1;
    let wanted = archive(server.url("a.tar"), &published);
    let message = fetch_into(folder.path(), &source(vec![wanted]), None).0.unwrap_err().to_string();
    let sums = format!(
        "the checksum is {}; expected {}. What was received is kept as {}",
        crate::archives::sha256(&body()),
        wanted.checksum,
        folder.path().join("a.tar.wrong").display()
    );
    assert!(message.contains(&sums), "{message}");
    assert_eq!(names(folder.path()), ["a.tar.wrong"]);
}

#[test]
fn a_file_of_another_size_is_not_even_begun() {
    let (folder, result, server) = run(&[Answer::Short]);
    let message = result.unwrap_err().to_string();
    let sizes = format!("the server's file has {} bytes; expected {}", body().len() / 2, body().len());
    assert!(message.contains(&sizes), "{message}");
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn redirections_are_followed_also_when_continuing() {
    let (folder, result, server) =
        run(&[Answer::Redirect, Answer::Cut("\"v1\""), Answer::Redirect, Answer::Whole("\"v1\"")]);
    result.unwrap();
    assert_whole(&folder);
    let half = body().len() / 2;
    let range = format!("bytes={half}- \"v1\"");
    let expected = [
        "/a.tar".to_owned(),
        "/moved/a.tar".to_owned(),
        format!("/a.tar {range}"),
        format!("/moved/a.tar {range}"),
    ];
    assert_eq!(server.requests(), expected);
    let (_, result, _) = run(&[Answer::Redirect]);
    assert!(matches!(result, Err(FetchError::Download { .. })), "a circle ends");
}

#[test]
fn a_missing_file_is_asked_for_once_and_the_advice_names_all_that_is_missing() {
    let server = Server::start(&body(), &[Answer::Status(404)]);
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (archive(server.url("a.tar"), &body()), archive(server.url("b.tar"), b"b"));
    let message = fetch_into(folder.path(), &source(vec![one, two]), None).0.unwrap_err().to_string();
    let expected = format!(
        "{}: the download failed: the server answers with status 404.\n\
         Get these files another way, put them into {}, and run the command again, which checks and unpacks them:\n  \
         {}\n    {} bytes, {}\n  {}\n    1 bytes, {}",
        one.url,
        folder.path().display(),
        one.url,
        one.bytes,
        one.checksum,
        two.url,
        two.checksum
    );
    assert_eq!(message, expected);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_silent_server_is_left_and_continued_with_later() {
    let (folder, result, server) = run(&[Answer::Stall("\"v1\""), Answer::Whole("\"v1\"")]);
    result.unwrap();
    assert_whole(&folder);
    assert!(server.requests()[1].contains("bytes="), "{:?}", server.requests());
}

#[test]
fn without_a_server_the_advice_is_what_remains_to_be_done() {
    let folder = tempfile::tempdir().unwrap();
    // A port below 1024: the system never hands it to a server of another test, as it may a port just freed.
    let wanted = archive("http://127.0.0.1:1/a.tar".to_owned(), &body());
    let message = fetch_into(folder.path(), &source(vec![wanted]), None).0.unwrap_err().to_string();
    assert!(
        message.contains("the download failed: ") && message.contains("Get this file another way"),
        "{message}"
    );
    // Done by hand, the second run checks and unpacks.
    fs::write(folder.path().join("a.tar"), body()).unwrap();
    let (result, said) = fetch_into(folder.path(), &source(vec![wanted]), None);
    assert!(result.unwrap());
    assert_eq!(said, ["Check a.tar", "Unpack a.tar"]);
    assert_whole(&folder);
}

#[test]
fn a_mirror_is_asked_in_place_of_the_makers() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    let wanted = source(vec![archive("http://127.0.0.1:1/deep/a.tar".to_owned(), &body())]);
    let mirror = format!("{}/pub/", server.address);
    fetch_into(folder.path(), &wanted, Some(&mirror)).0.unwrap();
    assert_whole(&folder);
    assert_eq!(server.requests(), ["/pub/a.tar"]);
}

#[test]
fn a_wrong_file_put_there_by_hand_is_set_aside_and_fetched() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tar"), b"<html>").unwrap();
    let (result, said) = again(&folder, &server);
    result.unwrap();
    let aside = format!("a.tar.wrong is not it: the file has 6 bytes; expected {}", body().len());
    assert_eq!(said, [&aside, "Download a.tar", "Check a.tar", "Unpack a.tar"]);
    assert_eq!(fs::read(folder.path().join("a.tar.wrong")).unwrap(), b"<html>");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let server = Server::start(&body(), &[Answer::Whole("\"v1\"")]);
    let folder = tempfile::tempdir().unwrap();
    // Root may write everywhere, so a folder is in the way.
    fs::create_dir(folder.path().join("a.tar.part")).unwrap();
    let message = again(&folder, &server).0.unwrap_err().to_string();
    assert!(message.contains("a.tar.part: cannot be written: "), "{message}");
    assert!(!message.contains("another way"), "{message}");
}

#[test]
fn two_at_once_in_one_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = fs::File::create(folder.path().join(".fetch.lock")).unwrap();
    lock.lock().unwrap();
    let wanted = source(vec![archive("http://127.0.0.1:1/a.tar".to_owned(), &body())]);
    let message = fetch_into(folder.path(), &wanted, None).0.unwrap_err().to_string();
    assert!(message.contains("another fetch is at work in this folder"), "{message}");
}
