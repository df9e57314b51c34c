//! Connections: accepted, limited, timed, and let go in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time; later ones wait in the system's own queue. Below the usual limit of 1024 open files.
const MOST: usize = 900;

/// The longest that the head of a request may take, and that a connection may lie idle.
const HEAD: Duration = Duration::from_secs(15);

/// Serves until `stop` ends; then takes no more connections, and no more requests on those that there are, and ends when all are
/// answered, or after twice `time`, the longest that one may take.
pub async fn serve(listener: TcpListener, router: Router, time: Duration, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(MOST));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let place = room.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            (Ok((stream, _)), Ok(place)) = accept => (stream, place),
            () = &mut stop => break,
            else => continue,
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _ = connection.await; // a client that went away, or does not speak HTTP
            drop(place);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(2 * time) => {}
    }
}
