//! `cargo xtask bench-serve`: what `mlcls serve` answers under load, on this machine alone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::machine;
use crate::shell::{self, command, target};

/// Which model, which images, how many at once.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint to serve.
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// A folder of JPEGs to send; the first 256 by name.
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Connections that each send the next image when the last is answered.
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// How long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u64,
    /// A binary with the feature `serve` [default: built here]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

const BUILD: [&str; 7] = ["build", "--quiet", "--release", "--package", "mlcls-cli", "--features", "serve"];

/// The most images of the folder.
const IMAGES: usize = 256;

/// What a connection has seen.
#[derive(Default)]
struct Seen {
    /// Seconds from the first byte sent to the last received, of requests that were answered with labels.
    seconds: Vec<f64>,
    refused: usize,
    errors: Vec<String>,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => {
            shell::run(&mut command("cargo", &BUILD))?;
            target().join("release/mlcls")
        }
    };
    let images = images(&args.images)?;
    let (mut server, address, mut output) = start(&binary, &args.checkpoint)?;
    let load = machine::load();
    let seen = attack(&address, &images, args.connections, Duration::from_secs(args.seconds));
    let metrics = get(&address, "/metrics");
    shell::run(Command::new("kill").args(["-TERM", &server.id().to_string()]))?;
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    let status = server.wait()?;
    ensure!(status.success(), "the server ended with {status}: {rest}");

    let mut seconds: Vec<f64> = seen.iter().flat_map(|s| s.seconds.iter().copied()).collect();
    seconds.sort_by(f64::total_cmp);
    let quantile =
        |q: f64| seconds.get((q * (seconds.len().max(1) - 1) as f64) as usize).map_or(f64::NAN, |s| 1e3 * s);
    let refused: usize = seen.iter().map(|s| s.refused).sum();
    let errors: Vec<&String> = seen.iter().flat_map(|s| &s.errors).collect();
    println!("{}; load before {load:.1}", machine::describe());
    print!("{}", machine::versions());
    println!();
    println!(
        "| connections | seconds | answered | per second | p50 ms | p90 ms | p99 ms | longest ms | 503 | errors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {refused} | {} |",
        args.connections,
        args.seconds,
        seconds.len(),
        seconds.len() as f64 / args.seconds as f64,
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0),
        errors.len()
    );
    let metrics = metrics?;
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or(f64::NAN)
    };
    println!("\n{:.1} images per batch", value("mlcls_images_total ") / value("mlcls_batches_total "));
    if let Some(error) = errors.first() {
        bail!("{} errors; the first: {error}", errors.len());
    }
    Ok(())
}

fn images(folder: &std::path::Path) -> Result<Vec<Vec<u8>>> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = list().with_context(|| format!("cannot list {}", folder.display()))?;
    paths.retain(|p| {
        p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
    });
    paths.sort();
    paths.truncate(IMAGES);
    ensure!(!paths.is_empty(), "{}: no JPEG in this folder", folder.display());
    paths.iter().map(|p| fs::read(p).with_context(|| format!("cannot read {}", p.display()))).collect()
}

/// A server on a free port; its first line says which.
fn start(
    binary: &std::path::Path,
    checkpoint: &std::path::Path,
) -> Result<(Child, String, BufReader<ChildStdout>)> {
    let mut server = Command::new(binary);
    server.arg("serve").arg(checkpoint).args(["--bind", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut server = server.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut output = BufReader::new(server.stdout.take().context("the server has no output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line
        .trim()
        .split("http://")
        .nth(1)
        .context("the server did not start; was it built with `serve`?")?;
    Ok((server, address.to_owned(), output))
}

/// All connections at once.
fn attack(address: &str, images: &[Vec<u8>], connections: usize, time: Duration) -> Vec<Seen> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|first| scope.spawn(move || one_connection(address, images, first, end)))
            .collect();
        let lost = || Seen { errors: vec!["a thread of the load failed".to_owned()], ..Seen::default() };
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
    })
}

/// Sends images until the end; an error ends the connection, and a new one goes on.
fn one_connection(address: &str, images: &[Vec<u8>], first: usize, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let mut number = first;
    while Instant::now() < end {
        let outcome = (|| -> Result<()> {
            let mut stream = connect(address)?;
            while Instant::now() < end {
                let image = &images[number % images.len()];
                number += 1;
                let start = Instant::now();
                let head = format!(
                    "POST /predict HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
                    image.len()
                );
                stream.get_mut().write_all(head.as_bytes())?;
                stream.get_mut().write_all(image)?;
                let (status, body) = response(&mut stream)?;
                match status {
                    200 if body.starts_with("{\"labels\":") => {
                        seen.seconds.push(start.elapsed().as_secs_f64())
                    }
                    503 => seen.refused += 1,
                    _ => bail!("{status}: {body}"),
                }
            }
            Ok(())
        })();
        if let Err(error) = outcome {
            seen.errors.push(format!("{error:#}"));
        }
    }
    seen
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(BufReader::new(stream))
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = connect(address)?;
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    Ok(response(&mut stream)?.1)
}

/// Status and body of a response with a length.
fn response(stream: &mut impl BufRead) -> Result<(u16, String)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .with_context(|| format!("no status in {line:?}"))?;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the head ended early");
        if line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("a length that is no number")?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_to_its_end_and_no_further() {
        let text = "HTTP/1.1 200 OK\r\ncontent-type: x\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        let mut stream = BufReader::new(text.as_bytes());
        assert_eq!(response(&mut stream).unwrap(), (200, "abc".to_owned()));
        assert_eq!(response(&mut stream).unwrap(), (503, String::new()));
        assert!(response(&mut stream).is_err());
    }
}
