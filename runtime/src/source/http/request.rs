//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body::Body;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{timeout, timeout_at};

use super::answer::{Answer, Refusal, taken};
use super::auth::Guard;
use super::body::{Share, decompress, discard, read};
use super::decode::{Coding, Corrupt, Decoder};
use super::frame::{Framed, Unframed, at_most, frame};
use super::gather::{Content, Pairs};
use super::settings::{Format, Invalid, Settings};

/// So much of the body of a request that is sent away is read, so that its sender gets to read the answer.
const DISCARDED: usize = 256 << 10;

/// How long that may take.
const DISCARDING: Duration = Duration::from_secs(1);

/// Bodies that are decompressed at the same time. A decompressor may have a window of 8 MiB.
const DECODERS: usize = 4;

/// Bytes that an event takes beside its payload while it is framed and numbered.
const EVENT: usize = 28;

/// Bytes that a header of an event takes beside its name and value.
const HEADER: usize = 16;

/// The events of a request, which the source may take.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) content: Content,
    /// Told that they were taken. What that gives tells that the request is done; where it is dropped, its events were
    /// given up. Where nobody hears it the request has been sent away.
    pub(super) taken: oneshot::Sender<oneshot::Receiver<()>>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    settings: Settings,
    guard: Option<Guard>,
    names: Vec<HeaderName>,
    pool: Arc<Semaphore>,
    decoders: Semaphore,
    offers: mpsc::Sender<Offer>,
    /// Since when the source may take nothing.
    held: watch::Receiver<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(
        settings: &Settings,
        offers: mpsc::Sender<Offer>,
        held: watch::Receiver<Option<Instant>>,
    ) -> Shared {
        let in_flight = usize::try_from(settings.max_in_flight_bytes).unwrap_or(usize::MAX);
        Shared {
            guard: settings.auth.as_ref().map(Guard::new),
            names: settings.headers.iter().filter_map(|name| name.parse().ok()).collect(),
            pool: Arc::new(Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS))),
            decoders: Semaphore::new(DECODERS),
            offers,
            held,
            settings: settings.clone(),
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let (head, mut body) = request.into_parts();
        match self.take(&head, &mut body).await {
            Ok(answer) => answer,
            Err(refusal) => {
                // Whoever waits to be asked for the body has not sent it; on HTTP/2 nothing is lost by an early answer.
                if head.version < Version::HTTP_2 && !head.headers.contains_key(header::EXPECT) {
                    discard(&mut body, DISCARDED, DISCARDING).await;
                }
                refusal.answer()
            }
        }
    }

    async fn take<B>(&self, head: &Parts, body: &mut B) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
    {
        let settings = &self.settings;
        if head.uri.path() != settings.path {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "nothing is taken at this path"));
        }
        if head.method != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "events come by POST")
                .with(header::ALLOW, HeaderValue::from_static("POST")));
        }
        if let Some(guard) = &self.guard {
            guard.check(&head.headers)?;
        }
        let coding = Coding::of(&head.headers)?;
        let format = settings.format.map_or_else(|| format_of(&head.headers), Ok)?;
        self.turn_away()?;
        let most = settings.max_body_bytes as usize;
        let mut share = Share::new(&self.pool, settings.wait);
        let bytes = match timeout(settings.body_timeout, read(body, most, &mut share)).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        };
        let time = now();
        let bytes = match coding {
            None => bytes,
            Some(coding) => self.decompress(coding, &bytes, most, &mut share).await?,
        };
        let headers = self.headers(&head.headers);
        let pair = |(name, value): &(usize, HeaderValue)| settings.headers[*name].len() + value.len() + HEADER;
        let each = EVENT + headers.iter().map(pair).sum::<usize>();
        share.charge(at_most(&bytes, format).saturating_mul(each), settings.max_in_flight_bytes as usize).await?;
        let framed = self.frame(bytes, format)?;
        let (events, rejected) = (framed.events.len(), framed.rejected());
        if events + rejected == 0 {
            return Ok(taken(StatusCode::OK, 0, 0));
        }
        let done = self.offer(Content { framed, headers, time, share }).await?;
        self.answered(done, events, rejected).await
    }

    /// Before its body is read, where nothing is taken for so long already that it would wait in vain.
    fn turn_away(&self) -> Result<(), Refusal> {
        if self.offers.is_closed() {
            return Err(Refusal::stopping());
        }
        match self.held.borrow().map(|since| since.elapsed()) {
            Some(held) if held >= self.settings.wait => Err(Refusal::busy(held)),
            _ => Ok(()),
        }
    }

    async fn decompress(
        &self,
        coding: Coding,
        compressed: &[u8],
        most: usize,
        share: &mut Share,
    ) -> Result<Vec<u8>, Refusal> {
        let Ok(Ok(_turn)) = timeout(self.settings.wait, self.decoders.acquire()).await else {
            return Err(Refusal::busy(self.settings.wait));
        };
        let decoder = Decoder::new(coding)
            .map_err(|Corrupt(message)| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))?;
        decompress(decoder, compressed, most, share).await
    }

    fn frame(&self, bytes: Vec<u8>, format: Format) -> Result<Framed, Refusal> {
        let most = self.settings.max_event_bytes as usize;
        let framed = frame(bytes, format, most)
            .map_err(|unframed: Unframed| Refusal::new(StatusCode::BAD_REQUEST, unframed.to_string()))?;
        match framed.first_invalid {
            Some((number, mistake)) if self.settings.invalid == Invalid::Refuse => Err(match mistake {
                Some(mistake) => {
                    let message = format!("event {number} is not JSON: byte {} of it can't be there", mistake.at);
                    Refusal::new(StatusCode::BAD_REQUEST, message)
                }
                None => {
                    let message = format!("event {number} has more than max_event_bytes = {most}");
                    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
                }
            }),
            _ => Ok(framed),
        }
    }

    fn headers(&self, headers: &HeaderMap) -> Pairs {
        let of = |(index, name): (usize, &HeaderName)| {
            let values: Vec<_> = headers.get_all(name).iter().map(|value| (index, value.clone())).collect();
            values
        };
        self.names.iter().enumerate().flat_map(of).collect()
    }

    /// Waits until the source has taken the events, at most so long that nothing of them is left behind otherwise.
    async fn offer(&self, content: Content) -> Result<oneshot::Receiver<()>, Refusal> {
        let (taken, mut answer) = oneshot::channel();
        let offer = Offer { content, taken };
        let deadline = tokio::time::Instant::now() + self.settings.wait;
        match timeout_at(deadline, self.offers.send(offer)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Refusal::stopping()),
            Err(_) => return Err(Refusal::busy(self.settings.wait)),
        }
        match timeout_at(deadline, &mut answer).await {
            Ok(taken) => taken.map_err(|_| Refusal::stopping()),
            Err(_) => {
                answer.close();
                answer.try_recv().map_err(|_| Refusal::busy(self.settings.wait))
            }
        }
    }

    /// Waits until a request is done.
    async fn answered(&self, done: oneshot::Receiver<()>, events: usize, rejected: usize) -> Result<Answer, Refusal> {
        let settings = &self.settings;
        match timeout(settings.ack_timeout, done).await {
            Ok(Ok(())) => Ok(taken(if settings.ack { StatusCode::OK } else { StatusCode::ACCEPTED }, events, rejected)),
            Ok(Err(_)) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not all of the events were delivered before this server stopped: send them again",
            )
            .with(header::RETRY_AFTER, HeaderValue::from(1))),
            Err(_) => Err(Refusal::new(
                StatusCode::GATEWAY_TIMEOUT,
                "it is not known in time whether the events are delivered: they may be yet, and twice if sent again",
            )),
        }
    }
}

/// What `Content-Type` says.
fn format_of(headers: &HeaderMap) -> Result<Format, Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Format::Ndjson) };
    let value = value.as_bytes().to_ascii_lowercase();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match essence {
        // The last is what curl says of anything that it was not told the type of.
        b""
        | b"application/x-ndjson"
        | b"application/ndjson"
        | b"application/jsonl"
        | b"application/jsonlines"
        | b"application/x-jsonlines"
        | b"application/x-www-form-urlencoded" => Ok(Format::Ndjson),
        b"application/json" | b"text/json" => Ok(Format::Json),
        b"text/plain" => Ok(Format::Lines),
        b"application/octet-stream" => Ok(Format::Raw),
        _ if essence.ends_with(b"+json") => Ok(Format::Json),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "say in Content-Type what the body is: application/x-ndjson, application/json, text/plain (lines) or \
             application/octet-stream (one event)",
        )),
    }
}

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
