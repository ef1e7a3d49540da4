//! One request over `wasi:http` 0.2.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

/// Sends a request; says the status and the body of the answer, or the error that the interface gave.
pub(crate) fn send(method: &str, url: &str, token: &str, body: &[u8]) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers = Fields::new();
    if !token.is_empty() {
        headers.append("authorization", token.as_bytes()).map_err(|error| format!("{error:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let parts = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .and_then(|()| request.set_method(&if method == "POST" { Method::Post } else { Method::Get }));
    parts.map_err(|()| "the request was not accepted")?;
    let sending = request.body().map_err(|()| "no body")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| format!("{error:?}"))?;
    if method == "POST" {
        let stream = sending.write().map_err(|()| "no stream")?;
        for piece in body.chunks(4096) {
            stream.blocking_write_and_flush(piece).map_err(|error| format!("{error:?}"))?;
        }
    }
    OutgoingBody::finish(sending, None).map_err(|error| format!("{error:?}"))?;
    answer.subscribe().block();
    let answer = answer.get().ok_or("no answer")?.map_err(|()| "taken")?.map_err(|error| format!("{error:?}"))?;
    let body = answer.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut text = Vec::new();
    while let Ok(piece) = stream.blocking_read(64 << 10) {
        text.extend(piece);
    }
    Ok(format!("{} {}", answer.status(), String::from_utf8_lossy(&text)))
}
