//! What requests are answered with.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

/// An answer to a request.
pub(super) type Answer = Response<Full<Bytes>>;

/// The body of an answer.
#[derive(Debug, Default, Serialize)]
struct Told<'a> {
    /// Events that were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<usize>,
    /// Events that became dead letters at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A request was not done. Unless its message says so, nothing of it was taken.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), header: None }
    }

    /// The same with a header.
    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Refusal {
        Refusal { header: Some((name, value)), ..self }
    }

    /// There is no room, and there was none for so long.
    pub(super) fn busy(held: Duration) -> Refusal {
        let seconds = held.as_secs().clamp(1, 30);
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no more events can be taken now: nothing of this was, send it later",
        )
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The source takes nothing any more.
    pub(super) fn stopping() -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server stops: nothing of this was taken, send it again")
            .with(header::RETRY_AFTER, HeaderValue::from(1))
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = told(self.status, &Told { error: Some(&self.message), ..Told::default() });
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

/// So many events were taken, and so many rejected.
pub(super) fn taken(status: StatusCode, events: usize, rejected: usize) -> Answer {
    told(status, &Told { events: Some(events), rejected: Some(rejected).filter(|number| *number > 0), error: None })
}

fn told(status: StatusCode, told: &Told) -> Answer {
    // There is nothing in it that can't be written.
    let mut text = serde_json::to_vec(told).unwrap_or_default();
    text.push(b'\n');
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
