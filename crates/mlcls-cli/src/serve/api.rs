//! What is asked and answered.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mlcls_data::ImageProblem;
use mlcls_train::{Checkpoint, CheckpointInfo};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::metrics::Metrics;
use super::queue::Queue;
use super::{Limits, page, upload};

/// What all requests share.
#[derive(Clone)]
pub struct Service {
    checkpoint: Arc<Checkpoint>,
    queue: Queue,
    /// A place for each request that may be accepted and not yet answered.
    places: Arc<Semaphore>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Service {
    /// A service that accepts so many requests at a time.
    pub fn new(
        checkpoint: Arc<Checkpoint>,
        queue: Queue,
        places: usize,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.set_places(places);
        Self { checkpoint, queue, places: Arc::new(Semaphore::new(places)), limits, metrics }
    }
}

/// All addresses.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/page.js", get(page::script))
        .route("/predict", post(predict))
        .route("/healthz", get("ok\n"))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            Refusal::new(StatusCode::NOT_FOUND, "there are /, /predict, /healthz, /metrics")
        })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "POST an image to /predict; GET the others")
        })
        .layer(DefaultBodyLimit::disable()) // upload.rs has the limit
        .with_state(service)
}

impl Service {
    /// The labels of an image.
    pub fn info(&self) -> &CheckpointInfo {
        &self.checkpoint.info
    }
}

/// A request that is not answered with labels: a status and one sentence, as JSON.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &json!({ "error": self.reason }));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ImageProblem> for Refusal {
    fn from(problem: ImageProblem) -> Self {
        let status = match problem {
            ImageProblem::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ImageProblem::UnknownFormat(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, format!("the image {problem}"))
    }
}

fn answer(status: StatusCode, json: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{json}\n")).into_response()
}

/// `POST /predict`.
async fn predict(State(service): State<Service>, request: Request) -> Response {
    let start = Instant::now();
    let response = match accept(&service, request).await {
        Ok(scores) => answer(StatusCode::OK, &labels(service.info(), &scores)),
        Err(refusal) => refusal.into_response(),
    };
    service.metrics.request(response.status(), start.elapsed());
    response
}

/// Takes a place before it reads the body, and keeps it until there is an answer: at most so many bodies are in memory.
async fn accept(service: &Service, request: Request) -> Result<Vec<f32>, Refusal> {
    let Ok(_place) = service.places.try_acquire() else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the queue is full; come again"));
    };
    let image = upload::image(request, service.limits).await?;
    let answer = tokio::time::timeout(service.limits.time, service.queue.push(image)).await;
    match answer {
        Ok(Ok(scores)) => Ok(scores?),
        Ok(Err(_)) => {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the model has failed; restart the server"))
        }
        Err(_) => {
            let reason = format!("no answer within {} s", service.limits.time.as_secs());
            Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, reason))
        }
    }
}

/// As `mlcls predict --json`: the predicted labels, best first, and all scores.
fn labels(info: &CheckpointInfo, scores: &[f32]) -> Value {
    let labels: Vec<&str> = info.predicted(scores).into_iter().map(|(name, _)| name).collect();
    let all: Map<_, _> =
        info.labels.iter().zip(scores).map(|(name, score)| (name.clone(), json!(score))).collect();
    json!({ "labels": labels, "scores": all })
}

/// `GET /metrics`.
async fn metrics(State(service): State<Service>) -> Response {
    service.metrics.set_free(service.places.available_permits());
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, service.metrics.to_string()).into_response()
}
