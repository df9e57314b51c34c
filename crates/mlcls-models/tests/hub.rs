//! Finding and downloading pretrained weights, against a server on the loopback interface.
#![allow(clippy::unwrap_used)] // helpers of tests may panic
#![cfg(feature = "hub")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use mlcls_models::{Hub, Pretrained, Source};

const TAG: &str = "tf_efficientnet_lite0.in1k";
const URL: &str = "/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors";
/// Where the server keeps large files.
const STORE: &str = "/store/5ad1e";

/// How the server answers the requests for the file itself, in turn; the last one stays.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// All that was asked for.
    Whole,
    /// Half of it, then the connection is closed although more was announced.
    Cut,
    /// Half of it, announced as if it were all.
    Short,
    /// The whole file whatever range was asked for.
    IgnoreRange,
    /// A redirection to where the file is, as the hub answers for large files.
    Redirect,
}

struct Server {
    hub: Hub,
    requests: Arc<Mutex<Vec<String>>>,
}

fn body() -> Vec<u8> {
    (0..200_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
}

fn serve(home: &Path, etag: &'static str, answers: &'static [Answer]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let location = endpoint.clone();
    let requests = Arc::new(Mutex::new(vec![]));
    let log = Arc::clone(&requests);
    std::thread::spawn(move || {
        let mut downloads = 0;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Some((path, headers)) = read_request(&stream) else { continue };
            let range = headers.get("range").cloned().unwrap_or_default();
            log.lock().unwrap().push(format!("{path} {range} {}", headers.contains_key("authorization")));
            if path == URL && answers.contains(&Answer::Redirect) {
                let head = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {location}{STORE}\r\nX-Linked-Etag: \"{etag}\"\r\n\
                     X-Repo-Commit: c0ffee\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes());
            } else if path != URL && path != STORE {
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            } else if range == "bytes=0-0" {
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/{}\r\nContent-Length: 1\r\n\
                     ETag: \"{etag}\"\r\nX-Repo-Commit: c0ffee\r\nConnection: close\r\n\r\n",
                    body().len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body()[..1]));
            } else {
                let answer = answers[downloads.min(answers.len() - 1)];
                downloads += 1;
                send(&mut stream, answer, &range);
            }
        }
    });
    let hub = Hub {
        endpoint,
        home: home.to_owned(),
        cache: home.join("hub"),
        offline: false,
        token: Some("secret".to_owned()),
    };
    Server { hub, requests }
}

fn read_request(stream: &TcpStream) -> Option<(String, HashMap<String, String>)> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
        .collect();
    Some((path, headers))
}

fn send(stream: &mut TcpStream, answer: Answer, range: &str) {
    let body = body();
    let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).and_then(|n| n.parse().ok());
    let from: usize = if answer == Answer::IgnoreRange { 0 } else { from.unwrap_or(0) };
    let rest = &body[from.min(body.len())..];
    let half = &rest[..rest.len() / 2];
    let (announced, sent) = match answer {
        Answer::Whole | Answer::IgnoreRange | Answer::Redirect => (rest.len(), rest),
        Answer::Cut => (rest.len(), half),
        Answer::Short => (half.len(), half),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn locate(hub: &Hub) -> mlcls_models::Result<Option<mlcls_models::Found>> {
    Pretrained::Auto.locate("efficientnet_lite0", hub, &mut |_, _| ())
}

#[test]
fn a_download_lands_in_the_cache_and_is_found_there_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Whole]);
    let mut seen = vec![];
    let mut progress = |done, total| seen.push((done, total));
    let found = Pretrained::Auto.locate("efficientnet_lite0", &server.hub, &mut progress).unwrap().unwrap();
    assert_eq!((found.source, found.tag.unwrap().tag), (Source::Download, TAG));
    assert_eq!(std::fs::read(&found.path).unwrap(), body());
    let size = body().len() as u64;
    assert_eq!(seen.last(), Some(&(size, size)));
    assert!(seen.is_sorted(), "progress only grows");
    let requests = server.requests.lock().unwrap().len();
    assert!(server.requests.lock().unwrap().iter().all(|r| r.starts_with(URL) && r.ends_with("true")));

    let again = locate(&Hub { offline: true, ..server.hub.clone() }).unwrap().unwrap();
    assert_eq!((again.source, again.path), (Source::Cache, found.path));
    assert_eq!(server.requests.lock().unwrap().len(), requests);
}

#[test]
fn a_redirection_to_the_store_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Redirect]);
    let found = locate(&server.hub).unwrap().unwrap();
    assert_eq!(std::fs::read(&found.path).unwrap(), body());
    assert_eq!(server.hub.cached(TAG), Some(found.path));
}

#[test]
fn a_cut_connection_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Cut, Answer::Whole]);
    let found = locate(&server.hub).unwrap().unwrap();
    assert_eq!(std::fs::read(&found.path).unwrap(), body());
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().any(|r| r.contains(&format!("bytes={}-", body().len() / 2))), "{requests:?}");
}

#[test]
fn a_server_that_cannot_resume_is_asked_again_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Cut, Answer::IgnoreRange]);
    let found = locate(&server.hub).unwrap().unwrap();
    assert_eq!(std::fs::read(&found.path).unwrap(), body());
}

#[test]
fn a_file_of_the_wrong_size_is_refused_and_leaves_nothing_that_looks_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Short]);
    let message = locate(&server.hub).unwrap_err().to_string();
    assert!(message.contains("expected 800000 bytes, received 400000"), "{message}");
    assert_eq!(server.hub.cached(TAG), None);
    let mut blobs =
        std::fs::read_dir(dir.path().join("hub/models--timm--tf_efficientnet_lite0.in1k/blobs")).unwrap();
    assert!(blobs.all(|e| e.unwrap().path().extension().is_some_and(|x| x == "lock")));
}

#[test]
fn a_connection_that_stays_broken_leaves_nothing_that_looks_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Cut]);
    locate(&server.hub).unwrap_err();
    assert_eq!(server.hub.cached(TAG), None);
}

#[test]
fn a_missing_file_says_where_to_put_it_and_is_asked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Whole]);
    let message =
        Pretrained::Auto.locate("efficientnet_b0", &server.hub, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("404"), "{message}");
    let place = dir.path().join("mlcls/efficientnet_b0.ra_in1k.safetensors");
    assert!(message.contains(&place.display().to_string()), "{message}");
    assert!(message.contains(&format!("{}/timm/efficientnet_b0.ra_in1k", server.hub.endpoint)), "{message}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);

    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, b"by hand").unwrap();
    let found = Pretrained::Auto.locate("efficientnet_b0", &server.hub, &mut |_, _| ()).unwrap().unwrap();
    assert_eq!((found.path, found.source), (place, Source::File));
}

#[test]
fn headers_that_would_leave_the_cache_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "../../../../evil", &[Answer::Whole]);
    let message = locate(&server.hub).unwrap_err().to_string();
    assert!(message.contains("etag header is not a file name"), "{message}");
    assert!(!dir.path().join("hub").exists());
}

#[test]
fn offline_nothing_is_asked_and_none_needs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), "abc123", &[Answer::Whole]);
    let offline = Hub { offline: true, ..server.hub.clone() };
    let message = locate(&offline).unwrap_err().to_string();
    assert!(message.contains("HF_HUB_OFFLINE forbids a download"), "{message}");
    assert_eq!(Pretrained::None.locate("efficientnet_b0", &offline, &mut |_, _| ()).unwrap(), None);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn an_unreachable_hub_is_an_error_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    // A port below 1024: the system never hands it to a server of another test, as it may a port just freed.
    let hub = Hub {
        endpoint: "http://127.0.0.1:1".to_owned(),
        home: dir.path().to_owned(),
        cache: dir.path().join("hub"),
        offline: false,
        token: None,
    };
    let message = locate(&hub).unwrap_err().to_string();
    assert!(
        message.contains("the download failed: http://127.0.0.1")
            && message.contains("Put model.safetensors"),
        "{message}"
    );
}

#[test]
fn weights_of_another_model_are_refused_with_the_nearest_name() {
    let hub = Hub::from_env();
    let wrong = Pretrained::from("mobilenetv3_large_100.miil_in2k");
    let message = wrong.locate("mobilenet_v3_large", &hub, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("did you mean `mobilenetv3_large_100.miil_in21k`?"), "{message}");
    let absent = Pretrained::from("no/such.safetensors");
    let message = absent.locate("mobilenet_v3_large", &hub, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.starts_with("cannot read no/such.safetensors"), "{message}");
}
