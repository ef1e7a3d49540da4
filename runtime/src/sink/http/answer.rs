//! What a server answered: read to its end within bounds, and sorted by its status.

use std::time::{Duration, SystemTime};

use ::http::header::{DATE, RETRY_AFTER};
use ::http::{HeaderMap, HeaderName};
use reqwest::Response;
use tokio::time::timeout;

use super::client::causes;
use super::statuses::{Meaning, Statuses};
use crate::sink::{Failure, FailureKind};
use crate::units::{Secret, text};

/// So much of an answer that says why is read, so that its connection can be used again.
const READ: usize = 64 << 10;
/// So much of it is shown.
const SHOWN: usize = 300;
/// The head has said what happened: nobody waits longer for the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the server before it answers.
#[derive(Debug)]
pub(super) struct Reader {
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) statuses: Statuses,
    /// What a server might echo, and nobody is to see.
    pub(super) secrets: Vec<Secret>,
    /// Whether the body of a good answer is wanted, and how much of it at most.
    pub(super) wanted: Option<usize>,
}

impl Reader {
    /// The body of an answer that means `Written`, if it is wanted.
    pub(super) async fn read(&self, mut answer: Response) -> Result<Vec<u8>, Failure> {
        let status = answer.status();
        let kind = match self.statuses.of(status.as_u16()) {
            Meaning::Written => return self.good(answer).await,
            Meaning::Transient => FailureKind::Transient { after: advice(answer.headers(), SystemTime::now()) },
            Meaning::Unknown => FailureKind::Unknown,
            Meaning::Rejected => FailureKind::Rejected,
            Meaning::Halted => FailureKind::Halted,
        };
        let mut why = Vec::new();
        // Whatever of it could be read is enough.
        let _partly = timeout(PATIENCE, gather(&mut answer, &mut why, READ)).await;
        let code = if status.as_u16() == 413 { "too-large".to_owned() } else { format!("http-{}", status.as_u16()) };
        Err(Failure::new(kind, code, self.message(&status.to_string(), &why)))
    }

    async fn good(&self, mut answer: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let most = self.wanted.unwrap_or(READ);
        match gather(&mut answer, &mut body, most).await {
            Ok(true) => Ok(body),
            Ok(false) if self.wanted.is_none() => Ok(Vec::new()),
            Ok(false) => {
                let message = format!("{}: the answer has more than {most} bytes, and can't be read", self.origin);
                Err(Failure::unknown("bad-report", message))
            }
            Err(error) => {
                let message = format!("{}: the answer broke off: {}", self.origin, causes(&error.without_url()));
                Err(Failure::unknown("no-answer", message))
            }
        }
    }

    fn message(&self, status: &str, why: &[u8]) -> String {
        let mut said = String::from_utf8_lossy(why).into_owned();
        for secret in self.secrets.iter().map(Secret::reveal).filter(|secret| secret.len() >= 4) {
            said = said.replace(secret, "***");
        }
        let said = text::clean(said.trim(), SHOWN);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{} answered {status}{colon}{said}", self.origin)
    }
}

/// Reads a body, at most so much of it. Whether that was all.
async fn gather(answer: &mut Response, body: &mut Vec<u8>, most: usize) -> Result<bool, reqwest::Error> {
    while let Some(chunk) = answer.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which is told by the server's own clock if it shows it.
fn advice(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(after).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn advised(after: &'static str, date: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(after))]);
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        advice(&headers, now).map(|after| after.as_secs())
    }

    #[test]
    fn advice_is_read_in_all_its_forms() {
        for (after, expected) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            assert_eq!(advised(after, None), expected, "{after}");
        }
        let behind = "Sun, 06 Nov 1994 07:00:00 GMT";
        assert_eq!(advised("Sun, 06 Nov 1994 07:00:10 GMT", Some(behind)), Some(10), "a server's clock may be wrong");
    }

    #[test]
    fn an_answer_that_echoes_secrets_is_told_without_them() {
        let reader = Reader {
            origin: "https://a.example".into(),
            statuses: Statuses::default(),
            secrets: vec![Secret::new("hunter2"), Secret::new("")],
            wanted: None,
        };
        assert_eq!(
            reader.message("403 Forbidden", b" bad\n\x1b[1mtoken hunter2\xff \n"),
            "https://a.example answered 403 Forbidden: bad [1mtoken ***\u{fffd}"
        );
        assert_eq!(reader.message("500", b""), "https://a.example answered 500");
        assert!(reader.message("500", &[b'x'; 1000]).len() < 350);
    }
}
