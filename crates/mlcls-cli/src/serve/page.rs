//! The page to try a model on.
//!
//! Its look is that of all pages of `mlcls-report`; unlike those it runs a script, which this server gives, and nothing else may
//! be loaded.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use mlcls_report::{Page, escape};

use super::api::Service;

const BODY: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// Scripts and requests of this server alone; pictures also from the reader's own disk.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' blob:; \
                      style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub async fn page(State(service): State<Service>) -> Response {
    let info = service.info();
    let mut page = Page::new("Which labels does it see?");
    let metric = info.metric.as_ref().map(|m| format!(", {} {:.1} on {}", m.name, m.value, m.split));
    page.lead(&format!(
        "{}, {} labels, {side} x {side} pixels{}",
        info.model,
        info.labels.len(),
        metric.unwrap_or_default(),
        side = info.image_size
    ));
    let names: Vec<String> = info.labels.iter().map(|label| escape(label)).collect();
    page.wide_card("Images", "JPEG, PNG, WebP, BMP, GIF or TIFF; they go to this server only", BODY);
    page.wide_card("Labels", "", &format!("<p class=\"note\">{}</p>", names.join(", ")));
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, page.to_string()).into_response()
}

/// `GET /page.js`.
pub async fn script() -> Response {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, SCRIPT).into_response()
}
