//! The image in a request: its whole body, or a file of a form.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};

use super::Limits;
use super::api::Refusal;

/// Reads a body; it must come whole within the limits.
pub async fn image(request: Request, limits: Limits) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let megabytes = limits.body_bytes / 1_000_000;
    let too_large = || {
        let reason = format!("the body is larger than {megabytes} MB; --max-body sets the limit");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    };
    if length(&parts.headers).is_some_and(|bytes| bytes > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let bytes = match tokio::time::timeout(limits.time, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return Err(too_large()),
        Ok(Err(_)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body did not come whole")),
        Err(_) => {
            let reason = format!("the body took longer than {} s", limits.time.as_secs());
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, reason));
        }
    };
    let form =
        parts.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"multipart/form-data"));
    let bytes = if form { first_file(Request::from_parts(parts, Body::from(bytes))).await? } else { bytes };
    if bytes.is_empty() {
        let reason = "there is no image: POST its bytes as the body, or as a file of a form";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    }
    Ok(bytes)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The first part of a form that is a file; other fields are passed over.
async fn first_file(form: Request) -> Result<Bytes, Refusal> {
    let broken =
        |reason: String| Refusal::new(StatusCode::BAD_REQUEST, format!("the form is broken: {reason}"));
    let mut parts = Multipart::from_request(form, &()).await.map_err(|e| broken(e.body_text()))?;
    while let Some(part) = parts.next_field().await.map_err(|e| broken(e.body_text()))? {
        if part.file_name().is_some() {
            return part.bytes().await.map_err(|e| broken(e.body_text()));
        }
    }
    Err(Refusal::new(StatusCode::BAD_REQUEST, "the form has no file; with curl: -F image=@photo.jpg"))
}
