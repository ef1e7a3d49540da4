//! Sends events to a server over HTTP.
//!
//! One batch is one request, or a request for each event. What the answers mean is in `docs/http-sink.md`.

mod answer;
mod auth;
mod body;
mod client;
mod each;
mod results;
mod settings;
mod statuses;
mod target;

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Body as Sent, Client, Request};

use self::answer::Reader;
use self::auth::Signer;
use self::body::{Form, Made};
use self::target::{Address, Target};
use super::outcome::Refusals;
use super::{BatchId, Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use crate::batch::Batch;
use crate::units::Secret;

pub use auth::{Auth, ClientCredentials, CredentialsIn, SigningKey};
pub use results::Results;
pub use settings::{Body, Compression, HeaderTemplate, HttpVersion, IdempotencyKey, Joined, Method, Name, Settings};
pub use statuses::{Meaning, Statuses};
pub use target::UrlTemplate;

/// Sends batches to where a URL says. All instances share one client and its connections.
#[derive(Debug)]
pub struct HttpSink {
    contract: Contract,
    sender: Arc<Sender>,
}

/// A setting can't be used here and now: a file that it names, or a value that no header can carry.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// A JSON pointer into the settings.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl HttpSink {
    /// Reads the files that the settings name, and connects to nothing. `timeout` bounds an attempt; `values` is the media
    /// type of each payload, where it is known.
    pub fn new(settings: &Settings, timeout: Duration, values: Option<&str>) -> Result<HttpSink, Unusable> {
        let sender = Sender::new(settings, timeout, values)?;
        let contract = Contract {
            destination: sender.address.destination(),
            // A server that takes what it can of a request does not stop at what it can't.
            stops_in_order: sender.results.is_none(),
            ..Contract::default()
        };
        Ok(HttpSink { contract, sender: Arc::new(sender) })
    }
}

#[async_trait]
impl Connect for HttpSink {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Instance { sender: self.sender.clone() }))
    }
}

struct Instance {
    sender: Arc<Sender>,
}

#[async_trait]
impl Sink for Instance {
    /// A write that is given up takes its connection with it, or its stream.
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let target = match self.sender.address.of(batch, 0) {
            Ok(target) => target,
            // The batch was put together by what its events lack: each says so itself.
            Err(_) => return self.sender.refuse(batch),
        };
        match self.sender.form.body {
            Body::Each => self.sender.write_each(batch, &target, context).await,
            _ => self.sender.write_whole(batch, &target, context).await,
        }
    }
}

/// What all instances share.
#[derive(Debug)]
struct Sender {
    client: Client,
    method: ::http::Method,
    address: Address,
    form: Form,
    signer: Signer,
    results: Option<Results>,
    /// Where a request says which batch it is.
    key: Option<HeaderName>,
    reader: Reader,
}

impl Sender {
    fn new(settings: &Settings, timeout: Duration, values: Option<&str>) -> Result<Sender, Unusable> {
        let content_type = settings.body.content_type(values).map_err(|_| {
            let message = format!("the encoder's media type is no value of a header: {:?}", values.unwrap_or_default());
            Unusable { pointer: "/encoder".into(), message }
        })?;
        let mut fixed = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        if let Some(encoding) = settings.compression.encoding() {
            fixed.insert(header::CONTENT_ENCODING, encoding);
        }
        let mut secrets: Vec<Secret> = Vec::new();
        let signer = Signer::new(settings.auth.as_ref(), &mut fixed)?;
        secrets.extend(settings.auth.iter().flat_map(Auth::secrets).cloned());
        let constants = settings.headers.values().filter_map(|value| value.get().constant());
        secrets.extend(constants.map(Secret::new));
        if settings.results.is_some() && settings.body == Body::Each {
            let message = "a request with one event has no answer with items: choose another `body`";
            return Err(Unusable { pointer: "/results".into(), message: message.into() });
        }
        Ok(Sender {
            client: client::build(settings, timeout)?,
            method: settings.method.into(),
            form: Form::new(settings),
            signer,
            results: settings.results.clone(),
            key: match &settings.idempotency_key {
                IdempotencyKey::Auto if settings.method.is_idempotent() => None,
                IdempotencyKey::Auto => Some(HeaderName::from_static("idempotency-key")),
                IdempotencyKey::Off => None,
                IdempotencyKey::Header(name) => Some(name.clone()),
            },
            reader: Reader {
                origin: settings.url.origin(),
                statuses: settings.statuses.clone(),
                secrets,
                wanted: settings
                    .results
                    .as_ref()
                    .map(|results| usize::try_from(results.max_bytes).unwrap_or(usize::MAX)),
            },
            address: Address::new(settings.url.clone(), fixed, &settings.headers),
        })
    }

    /// All events of the batch in one request.
    async fn write_whole(&self, batch: &Batch, target: &Target, context: &WriteContext) -> Result<Outcome, WriteError> {
        let Made { bytes, mut refused } = self.form.of(batch).await?;
        if let Some(bytes) = bytes {
            let id = self.key.is_some().then(|| context.batch_id(batch.origin()));
            let answer = self.send(target, bytes, id).await?;
            if let Some(results) = &self.results {
                refused = results.of(&answer, batch, refused)?;
            }
        }
        Ok(Outcome::new(batch.len(), refused, None)?)
    }

    /// The first of the events can't be sent anywhere, nor can those that were put together with it.
    fn refuse(&self, batch: &Batch) -> Result<Outcome, WriteError> {
        let mut refused = Refusals::default();
        for row in 0..batch.len() as u32 {
            match self.address.of(batch, row as usize) {
                Err(failure) => refused.add(row, failure),
                Ok(_) => return Ok(Outcome::new(batch.len(), refused.finish(), Some(row))?),
            }
        }
        Ok(Outcome::new(batch.len(), refused.finish(), None)?)
    }

    /// One request, and where it is refused for a token that ended early, another. The body of an answer that means
    /// `Written`, if it is wanted.
    async fn send(&self, target: &Target, body: Bytes, id: Option<BatchId>) -> Result<Vec<u8>, Failure> {
        let mut again = true;
        loop {
            let mut request = self.request(target, &body, id);
            self.signer.sign(&self.client, &mut request, &body).await?;
            let headers = request.headers().clone();
            let answer = match self.client.execute(request).await {
                Ok(answer) => answer,
                Err(error) => return Err(client::failure(error, &self.reader.origin)),
            };
            let refused = answer.status() == ::http::StatusCode::UNAUTHORIZED;
            if !(refused && again && self.signer.renews(&headers).await) {
                return self.reader.read(answer).await;
            }
            again = false;
        }
    }

    fn request(&self, target: &Target, body: &Bytes, id: Option<BatchId>) -> Request {
        let mut request = Request::new(self.method.clone(), target.url.clone());
        *request.headers_mut() = target.headers.clone();
        if let (Some(name), Some(id)) = (&self.key, id)
            && let Ok(value) = HeaderValue::try_from(id.to_string())
        {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = Some(Sent::from(body.clone()));
        request
    }
}

#[cfg(test)]
mod tests;
