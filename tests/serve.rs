//! `mlcls serve`: what is asked, answered, refused; what harms nobody; how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{command, demo, mlcls};

/// A server on a free port; it is ended with the test.
struct Server {
    child: Child,
    address: String,
    /// Kept open, as a terminal would be.
    _output: BufReader<ChildStdout>,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let args = ["serve", &demo().best(), "--bind", "127.0.0.1:0"];
        let mut child = command(args.iter().chain(more)).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().split("http://").nth(1).unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address, _output: output }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes, and reads to the end.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes); // the server may have had enough
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> Answer {
        Answer::new(
            &self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()),
        )
    }

    fn post(&self, headers: &str, body: &[u8]) -> Answer {
        Answer::new(&self.raw(&post(headers, body)))
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").body;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn new(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

fn photo() -> Vec<u8> {
    fs::read(demo().image(0)).unwrap()
}

fn form(body: &[u8]) -> (String, Vec<u8>) {
    let mut bytes = b"--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--edge\r\n\
        Content-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
        .to_vec();
    bytes.extend(body);
    bytes.extend(b"\r\n--edge--\r\n");
    ("Content-Type: multipart/form-data; boundary=edge\r\n".to_owned(), bytes)
}

#[test]
fn an_image_gets_the_scores_of_predict() {
    let server = Server::start(&[]);
    let predicted = mlcls(["predict", &demo().best(), &demo().image(0), "--json"]).ok().stdout;
    let predicted: serde_json::Value = serde_json::from_str(&predicted).unwrap();
    let (kind, body) = form(&photo());
    for answer in [
        server.post("", &photo()),
        server.post("Content-Type: image/jpeg\r\n", &photo()),
        server.post(&kind, &body),
    ] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
        let said = answer.json();
        assert_eq!((&said["labels"], &said["scores"]), (&predicted["labels"], &predicted["scores"]));
    }
    assert_eq!(server.metric("mlcls_requests_total{status=\"200\"}"), Some(3.0));
    assert_eq!(server.metric("mlcls_images_total"), Some(3.0));
    assert_eq!(server.metric("mlcls_queue_length"), Some(0.0));

    assert_eq!(server.get("/healthz").body, "ok\n");
    let page = server.get("/");
    assert!(
        page.status == 200 && page.head.contains("content-security-policy: default-src 'none'"),
        "{page:?}"
    );
    for part in ["star", "type=\"file\"", "src=\"/page.js\"", "<title>"] {
        assert!(page.body.contains(part), "no {part:?} in the page");
    }
    assert!(server.get("/page.js").body.contains("/predict"));
}

#[test]
fn what_is_no_image_is_refused_and_harms_nobody() {
    let server = Server::start(&["--max-body", "1", "--max-pixels", "1", "--timeout", "1"]);
    let good = photo();
    let (kind, whole) = form(&good);
    let many_pixels = png_header(1001, 1000);
    for (headers, body, status, says) in [
        ("", &b""[..], 400, "there is no image"),
        ("", b"just words, no picture", 415, "is not a JPEG, PNG"),
        ("", &good[..good.len() / 2], 400, "truncated"),
        ("", &many_pixels, 413, "1001 x 1000 pixels, more than the limit of 1 million"),
        ("", &vec![0; 1_000_001], 413, "larger than 1 MB"),
        (&kind, &whole[..whole.len() / 2], 400, "the form is broken"),
        (&kind, b"--edge--\r\n", 400, "the form has no file"),
        ("Content-Type: multipart/form-data\r\n", &whole, 400, "the form is broken"),
    ] {
        let answer = server.post(headers, body);
        assert_eq!(answer.status, status, "{answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
    // Without a length, in chunks that never end.
    let chunk = [b"10000\r\n".to_vec(), vec![7; 0x10000], b"\r\n".to_vec()].concat();
    let endless = [
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        chunk.repeat(20),
    ]
    .concat();
    assert_eq!(Answer::new(&server.raw(&endless)).status, 413);
    // A body that does not come.
    let slow = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc";
    let start = Instant::now();
    assert_eq!(Answer::new(&server.raw(slow)).status, 408);
    assert!(start.elapsed() > Duration::from_millis(900));
    // A client that goes away in the middle, and what is not HTTP.
    let mut gone = server.connect();
    gone.write_all(slow).unwrap();
    gone.shutdown(Shutdown::Both).unwrap();
    assert!(server.raw(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 13, 10, 13, 10]).contains("400"));

    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/predict").status, 405);
    let answer = server.post("", &good);
    assert_eq!(answer.status, 200, "it still answers: {answer:?}");
}

/// The beginning of a PNG of this size: enough to know it, and to its formal end.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    let crc = crc32(&bytes[12..]);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let server = Server::start(&["--queue", "1"]);
    // Takes the one place and keeps it.
    let mut slow = server.connect();
    slow.write_all(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = loop {
        let answer = server.post("", &photo());
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    };
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    assert!(refused.body.contains("the queue is full"), "{refused:?}");
    assert_eq!(server.get("/healthz").status, 200, "and it says that it lives");
    slow.write_all(b"defghi").unwrap();
    let mut answer = String::new();
    let mut slow = BufReader::new(slow);
    slow.read_line(&mut answer).unwrap();
    assert!(answer.contains("415"), "{answer}");
    assert_eq!(server.post("", &photo()).status, 200);
}

#[test]
fn what_was_accepted_is_answered_before_it_ends() {
    let mut server = Server::start(&["--batch-size", "4", "--batch-wait", "20"]);
    let whole = post("", &photo());
    let (start, rest) = whole.split_at(whole.len() - 100);
    let mut waiting: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    for stream in &mut waiting {
        stream.write_all(start).unwrap();
    }
    let idle = server.connect();
    // All eight are accepted: their bodies are under way.
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.metric("mlcls_queue_length") != Some(8.0) {
        assert!(Instant::now() < deadline, "not accepted");
    }
    server.terminate();
    while TcpStream::connect(&server.address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        thread::sleep(Duration::from_millis(10));
    }
    for stream in &mut waiting {
        stream.write_all(rest).unwrap();
    }
    for mut stream in waiting {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let answer = Answer::new(&text);
        assert!(answer.status == 200 && answer.json()["scores"]["star"].is_number(), "{answer:?}");
    }
    let status = server.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    drop(idle);
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = mlcls(["serve", &demo().best(), "--bind", &address]);
    assert!(done.code == Some(1) && done.stderr.contains(&format!("cannot listen on {address}")), "{done:?}");
    let done = mlcls(["serve", "no/such/file"]);
    assert_eq!(done.code, Some(1), "{done:?}");
}
