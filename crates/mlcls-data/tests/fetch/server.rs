//! A server on the loopback interface that answers as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How one request is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// All that was asked for, under this entity tag; without quotes at its end it is the time of the last change.
    Whole(&'static str),
    /// Half of it, then the connection is closed although more was announced.
    Cut(&'static str),
    /// The whole file whatever range was asked for.
    IgnoreRange(&'static str),
    /// The part asked for, of whatever version: `If-Range` is not looked at.
    IgnoreIfRange(&'static str),
    /// A quarter, then silence with the connection open.
    Stall(&'static str),
    /// A part that begins one byte later than was asked.
    Shifted(&'static str),
    /// Half of the file, announced as if it were all.
    Short,
    /// This status and nothing else.
    Status(u16),
    /// On to `/moved/<name>`.
    Redirect,
}

/// A running server.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `body` under every path. The answers are given in turn; the last one stays.
    pub fn start(body: &[u8], answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, body) = (Arc::clone(&requests), body.to_vec());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let answer = answers[number.min(answers.len() - 1)];
                let (log, body) = (Arc::clone(&log), body.clone());
                std::thread::spawn(move || serve(stream, answer, &body, &log));
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Path, range and condition of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: Answer, body: &[u8], log: &Mutex<Vec<String>>) {
    let Some((path, headers)) = read_request(&stream) else { return };
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("accept-encoding"), "identity");
    log.lock().unwrap().push(format!("{path} {} {}", header("range"), header("if-range")).trim().to_owned());
    let from: usize = header("range")
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'))
        .map_or(0, |from| from.parse().unwrap());
    let (status, tag) = match answer {
        Answer::Status(status) => (status, ""),
        Answer::Redirect => (302, ""),
        Answer::Short => (200, "\"short\""),
        Answer::IgnoreRange(tag) => (200, tag),
        Answer::IgnoreIfRange(tag) | Answer::Shifted(tag) => (206, tag),
        // What HTTP asks for: the range if the version is still this one, else everything.
        Answer::Whole(tag) | Answer::Cut(tag) | Answer::Stall(tag) => {
            (if from > 0 && header("if-range") == tag { 206 } else { 200 }, tag)
        }
    };
    let mut head = format!("HTTP/1.1 {status} Answer\r\nConnection: close\r\n");
    if !tag.is_empty() {
        head += &format!("{}: {tag}\r\n", if tag.ends_with('"') { "ETag" } else { "Last-Modified" });
    }
    let from = if status == 206 { from } else { 0 };
    let rest = &body[from..];
    if status == 206 {
        let said = from + usize::from(matches!(answer, Answer::Shifted(_)));
        head += &format!("Content-Range: bytes {said}-{}/{}\r\n", body.len() - 1, body.len());
    }
    let (announced, sent) = match answer {
        Answer::Status(_) | Answer::Redirect => (0, 0),
        Answer::Short => (rest.len() / 2, rest.len() / 2),
        Answer::Cut(_) => (rest.len(), rest.len() / 2),
        Answer::Stall(_) => (rest.len(), rest.len() / 4),
        _ => (rest.len(), rest.len()),
    };
    if answer == Answer::Redirect {
        head += &format!("Location: /moved{path}\r\n");
    }
    head += &format!("Content-Length: {announced}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..sent]));
    if matches!(answer, Answer::Stall(_)) {
        std::thread::sleep(Duration::from_secs(5));
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, HashMap<String, String>)> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
        .collect();
    Some((path, headers))
}
