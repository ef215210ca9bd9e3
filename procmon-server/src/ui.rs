//! The web UI, embedded when the server is built with it.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::error::Problem;

/// A file of the built UI.
struct Asset {
    path: &'static str,
    content: &'static [u8],
    /// Compressed beforehand, best first: encoding and content.
    compressed: &'static [(&'static str, &'static [u8])],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const INDEX: &str = "index.html";
/// Names under this folder change with their content.
const IMMUTABLE: &str = "assets/";

const MISSING: &str = include_str!("ui_missing.html");

/// A file, or the page of the application for every other path: it reads the address itself.
pub(crate) fn serve(request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if let Some(asset) = find(path) {
        return answer(asset, request);
    }
    if path.starts_with(IMMUTABLE) {
        return Problem::not_found(
            "this file is of another version of the page; load the page anew",
        )
        .into_response();
    }
    match find(INDEX) {
        Some(index) => answer(index, request),
        None => (StatusCode::OK, Html(MISSING)).into_response(),
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn answer(asset: &'static Asset, request: &Request) -> Response {
    let accepted = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let smaller = asset
        .compressed
        .iter()
        .find(|(encoding, _)| accepts(accepted, encoding));
    let content = smaller.map_or(asset.content, |(_, content)| content);
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(asset.path)),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if asset.path.starts_with(IMMUTABLE) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Some((encoding, _)) = smaller {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        parts.next() == Some(encoding) && parts.next() != Some("q=0")
    })
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
