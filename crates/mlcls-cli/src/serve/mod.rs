//! `mlcls serve`: a model behind HTTP.
//!
//! A request is accepted or refused before its body is read, so that memory is bounded: `accept` in `api.rs`. What was accepted goes
//! through `queue.rs` to one thread, which answers several images at once; `connections.rs` speaks HTTP and lets requests end when the
//! server is asked to stop.

mod api;
mod connections;
mod metrics;
mod page;
mod queue;
mod upload;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mlcls_train::Checkpoint;
use tokio::net::TcpListener;

use crate::commands::eval::checkpoint_path;
use crate::commands::train::INTERRUPTED;
use api::Service;
use metrics::Metrics;
use queue::Queue;

/// Serve a checkpoint over HTTP: images in, labels and scores out, and a page to try it.
///
/// POST an image to /predict, as the body or as a file of a form; GET / is a page to drop images on, /healthz says that the
/// server is up, /metrics has numbers for Prometheus. Whoever reaches the address may use it: there is no password, and no encryption.
/// Ctrl-C or SIGTERM ends it, once every accepted request is answered.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Address and port; 0.0.0.0:8080 is reachable from other machines, port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    bind: SocketAddr,
    /// The most images that are answered at once.
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    /// How long an image waits for others to be answered with it.
    #[arg(long, value_name = "MS", default_value = "2")]
    batch_wait: u16,
    /// Requests that are accepted before one is answered; more get 503 and are to come again.
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// The largest body.
    #[arg(long, value_name = "MB", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_body: u16,
    /// The largest image.
    #[arg(long, value_name = "MEGAPIXELS", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=134))]
    max_pixels: u16,
    /// The longest that a body may take to arrive, and an answer to be found.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u16).range(1..))]
    timeout: u16,
}

/// What a request may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    body_bytes: usize,
    pixels: u64,
    time: Duration,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let checkpoint = Arc::new(Checkpoint::load(&path)?);
    let limits = Limits {
        body_bytes: usize::from(args.max_body) * 1_000_000,
        pixels: u64::from(args.max_pixels) * 1_000_000,
        time: Duration::from_secs(args.timeout.into()),
    };
    let metrics = Arc::new(Metrics::default());
    let wait = Duration::from_millis(args.batch_wait.into());
    let (queue, worker) =
        Queue::start(checkpoint.clone(), args.batch_size.into(), wait, limits.pixels, metrics.clone())?;
    let service = Service::new(checkpoint.clone(), queue, args.queue.into(), limits, metrics);

    // Connections take little time beside images: one thread for all of them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.bind).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.bind))?;
        let stop = stop_signal()?;
        let address = listener.local_addr()?;
        let labels = checkpoint.info.labels.len();
        say(&format!("{}: {labels} labels at http://{address}", path.display()));
        say(&format!("  curl --data-binary @photo.jpg http://{address}/predict"));
        connections::serve(listener, api::router(service), limits.time, stop).await;
        anyhow::Ok(())
    })?;
    drop(runtime);
    worker.join().map_err(|_| anyhow::anyhow!("the thread that answers has failed"))??;
    say("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A reader that went away does not end the server.
fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Ends at the first Ctrl-C or SIGTERM; a second one ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut signals = Signals::new().context("cannot listen for Ctrl-C")?;
    Ok(async move {
        signals.next().await;
        say("answering what was accepted; again stops at once");
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(i32::from(INTERRUPTED));
        });
    })
}

/// What asks a process to end.
#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// What asks a process to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await // it cannot be heard
        }
    }
}
