//! The pooled client of a sink, and what its errors mean.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{self, Action, Attempt};
use reqwest::{Client, Proxy, Url};
use rustls::AlertDescription;

use super::Unusable;
use super::settings::{HttpVersion, Settings};
use crate::net::tls;
use crate::sink::Failure;
use crate::units::text;

/// Before servers usually close a connection that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 100;
/// Other connections are noticed to be dead by the deadline of a request.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("sump/", env!("CARGO_PKG_VERSION"));

/// A client that is made anew where one of its files changes. `timeout` bounds an attempt.
pub(super) fn build(settings: &Settings, timeout: Duration) -> Result<Client, Unusable> {
    let mut tls = tls::client(&settings.tls)
        .map_err(|bad| Unusable { pointer: format!("/tls/{}", bad.key), message: bad.message })?;
    tls.alpn_protocols = match settings.http_version {
        HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec()],
    };
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(follow(settings.redirects))
        .referer(false)
        .no_proxy()
        // What can't be connected to is told before the attempt ends, as what it is.
        .connect_timeout(settings.connect_timeout.min(timeout / 2))
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE)
        .http1_max_headers(MAX_HEADERS)
        .user_agent(USER_AGENT)
        .dns_resolver(Lookup);
    let builder = match settings.http_version {
        HttpVersion::Auto => builder,
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder.http2_prior_knowledge(),
    };
    let builder = match &settings.proxy {
        None => builder,
        Some(url) => builder.proxy(proxy(url.reveal())?),
    };
    builder.build().map_err(|error| Unusable { pointer: "/url".into(), message: causes(&error) })
}

fn proxy(url: &str) -> Result<Proxy, Unusable> {
    let message = "`proxy` is not the URL of a proxy: write one such as `http://proxy.example.com:3128`";
    let bad = || Unusable { pointer: "/proxy".into(), message: message.into() };
    let parsed = Url::parse(url).map_err(|_| bad())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad());
    }
    Proxy::all(parsed).map_err(|_| bad())
}

/// Redirects that keep the method and the body (RFC 9110, sections 15.4.8 and 15.4.9), to the same host, and never from
/// `https` to `http`. Any other is an answer like others.
fn follow(most: u8) -> redirect::Policy {
    let to_itself = |attempt: &Attempt| {
        let (to, from) = (attempt.url(), attempt.previous().last());
        from.is_some_and(|from| from.host() == to.host() && (to.scheme() == "https" || from.scheme() == "http"))
    };
    redirect::Policy::custom(move |attempt: Attempt| -> Action {
        let keeps = matches!(attempt.status().as_u16(), 307 | 308);
        if keeps && to_itself(&attempt) && attempt.previous().len() <= usize::from(most) {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// Looks names up as the system does, so that a failure is known as what it is.
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|error| NotFound { error })?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name can't be looked up: {error}")]
struct NotFound {
    error: io::Error,
}

/// What a request without an answer means: whether anything of it can have arrived.
pub(super) fn failure(error: reqwest::Error, origin: &str) -> Failure {
    let error = error.without_url();
    let message = |what: &str| format!("{origin}: {what}: {}", causes(&error));
    if has::<NotFound>(&error).is_some() {
        return Failure::transient("dns", message("not found"));
    }
    if let Some(tls) = has::<rustls::Error>(&error)
        && (error.is_connect() || is_refusal(tls))
    {
        return Failure::transient("tls", message("no secure connection"));
    }
    if error.is_connect() {
        let (code, what) = match error.is_timeout() {
            true => ("connect-timeout", "no connection in time"),
            false => ("connect", "no connection"),
        };
        return match causes(&error).contains("proxy authorization required") {
            true => Failure::halted("proxy-auth", message("the proxy wants other credentials")),
            false => Failure::transient(code, message(what)),
        };
    }
    if error.is_builder() {
        return Failure::rejected("request", message("no request"));
    }
    Failure::unknown("no-answer", message("sent, and not answered"))
}

/// A server of TLS 1.3 refuses a client's certificate only after the client believes to be connected, and then reads no
/// request.
fn is_refusal(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
    )
}

/// A cause of this type. An I/O error may hold one that it does not name as its source.
fn has<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// An error with its causes, each said once.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        next = cause.source();
    }
    text::clean(&said, text::MAX_MESSAGE)
}
