//! Tokens of OAuth 2.0 by client credentials (RFC 6749, section 4.4): got once, kept, and renewed before they expire.

use std::time::Duration;

use ::http::{HeaderValue, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Body, Client, Request, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::sink::http::answer::Reader;
use crate::sink::http::client;
use crate::sink::http::statuses::Statuses;
use crate::sink::http::target::sensitive;
use crate::sink::{Failure, FailureKind};
use crate::units::Secret;

/// A token is renewed when so much of its time is left, or a tenth of it.
const EARLY: Duration = Duration::from_secs(60);
/// The most bytes of an answer.
const MOST: usize = 1 << 20;

/// What a client needs to get tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientCredentials {
    /// Where tokens are given.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// Its password.
    pub client_secret: Secret,
    /// What the token is to permit, words with spaces between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For whom the token is to be; not in the RFC, and needed by some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How the client shows who it is.
    pub credentials_in: CredentialsIn,
}

/// Where the client's credentials stand in a request for a token (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsIn {
    /// In its `Authorization`.
    #[default]
    Header,
    /// In its body.
    Body,
}

/// The token in use, shared by all requests of a sink.
#[derive(Debug)]
pub(in crate::sink::http) struct Tokens {
    url: Url,
    authorization: Option<HeaderValue>,
    form: Secret,
    reader: Reader,
    /// Held while a token is got, so that all who need one wait for the same.
    held: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    renew: Option<Instant>,
}

/// An answer with a token (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Given {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

impl Tokens {
    /// Gets nothing yet. The error says what is wrong with the URL.
    pub(in crate::sink::http) fn new(settings: &ClientCredentials) -> Result<Tokens, String> {
        let url = Url::parse(&settings.token_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or("`token_url` is not a URL: write one such as `https://login.example.com/token`")?;
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (encoded(&settings.client_id), encoded(settings.client_secret.reveal()));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &settings.scope), ("audience", &settings.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let authorization = match settings.credentials_in {
            CredentialsIn::Header => {
                let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
                Some(sensitive(value.map_err(|error| error.to_string())?))
            }
            CredentialsIn::Body => {
                form.append_pair("client_id", &settings.client_id);
                form.append_pair("client_secret", settings.client_secret.reveal());
                None
            }
        };
        let reader = Reader {
            origin: url.origin().ascii_serialization(),
            statuses: Statuses::default(),
            secrets: vec![settings.client_secret.clone()],
            wanted: Some(MOST),
        };
        Ok(Tokens { url, authorization, form: Secret::new(form.finish()), reader, held: Mutex::default() })
    }

    /// The header with a token that has time left.
    pub(in crate::sink::http) async fn header(&self, client: &Client) -> Result<HeaderValue, Failure> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.renew.is_none_or(|renew| Instant::now() < renew)) {
            return Ok(token.header.clone());
        }
        let token = self.get(client).await?;
        let header = token.header.clone();
        *held = Some(token);
        Ok(header)
    }

    /// A request with this header was refused: the next gets another token, unless there is one already.
    pub(in crate::sink::http) async fn refused(&self, header: &HeaderValue) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|token| token.header == *header) {
            *held = None;
        }
    }

    async fn get(&self, client: &Client) -> Result<Token, Failure> {
        let mut request = Request::new(Method::POST, self.url.clone());
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        *request.body_mut() = Some(Body::from(self.form.reveal().to_owned()));
        let began = Instant::now();
        let answer = match client.execute(request).await {
            Ok(answer) => self.reader.read(answer).await,
            Err(error) => Err(client::failure(error, &self.reader.origin)),
        };
        token(&answer.map_err(not_given)?, began)
            .ok_or_else(|| Failure::transient("token", format!("{} gave no bearer token", self.reader.origin)))
    }
}

/// What it means for events that there is no token for them: none of them was sent.
fn not_given(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Unknown => Failure::transient("token", failure.message),
        FailureKind::Rejected | FailureKind::Halted => Failure::halted("token", failure.message),
        FailureKind::Transient { .. } if failure.code.starts_with("http-") => {
            Failure { code: "token".into(), ..failure }
        }
        FailureKind::Transient { .. } => failure,
    }
}

fn token(answer: &[u8], began: Instant) -> Option<Token> {
    let given: Given = serde_json::from_slice(answer).ok()?;
    if given.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return None;
    }
    let header = HeaderValue::from_str(&format!("Bearer {}", given.access_token)).ok()?;
    let lasts = given.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let renew = lasts.and_then(|lasts| began.checked_add(lasts - EARLY.min(lasts / 10)));
    Some(Token { header: sensitive(header), renew })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let began = Instant::now();
        let renewed = |answer: &str| token(answer.as_bytes(), began).unwrap().renew.map(|renew| renew - began);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(renewed(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#), seconds(3540));
        assert_eq!(renewed(r#"{"access_token":"t","token_type":"bearer","expires_in":100}"#), seconds(90));
        assert_eq!(renewed(r#"{"access_token":"t"}"#), None);
        for answer in ["", "{}", r#"{"access_token":"t","token_type":"mac"}"#, "{\"access_token\":\"a\\nb\"}"] {
            assert!(token(answer.as_bytes(), began).is_none(), "{answer}");
        }
    }

    #[test]
    fn without_a_token_nothing_was_sent() {
        let kind = |failure| {
            let failure = not_given(failure);
            (failure.kind.name(), failure.code.to_string())
        };
        assert_eq!(kind(Failure::unknown("no-answer", "")), ("transient", "token".into()));
        assert_eq!(kind(Failure::rejected("http-400", "")), ("halted", "token".into()));
        assert_eq!(kind(Failure::halted("http-401", "")), ("halted", "token".into()));
        assert_eq!(kind(Failure::transient("http-503", "")), ("transient", "token".into()));
        assert_eq!(kind(Failure::transient("connect", "")), ("transient", "connect".into()));
    }
}
