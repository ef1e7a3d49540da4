//! The client that all instances of a sink share.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use wasmtime_wasi_http::Error;

use super::carrier::MAX_BODY;
use super::grant::Grant;
use crate::net::tls;
use crate::wasm::capabilities::{Denials, addresses};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_HEADERS: usize = 100;

/// It follows no redirects, uses no proxy and repeats nothing; it connects to addresses that the grants permit.
pub(super) fn build(grants: &[Grant], denials: &Arc<Denials>) -> Result<reqwest::Client, String> {
    let mut tls = tls::client(&tls::ClientSettings::default()).map_err(|error| error.to_string())?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_max_headers(MAX_HEADERS)
        .dns_resolver(Resolver::new(grants, denials))
        .build()
        .map_err(|error| error.to_string())
}

/// Looks names up, and leaves out the addresses that may not be connected to. What it answers is what is connected to.
struct Resolver {
    /// Addresses that a grant names, private or not.
    named: Arc<[IpAddr]>,
    denials: Arc<Denials>,
}

impl Resolver {
    fn new(grants: &[Grant], denials: &Arc<Denials>) -> Resolver {
        let named = grants.iter().filter_map(|grant| grant.host().trim_matches(['[', ']']).parse().ok()).collect();
        Resolver { named, denials: Arc::clone(denials) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (named, denials) = (Arc::clone(&self.named), Arc::clone(&self.denials));
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            let permitted: Vec<SocketAddr> =
                found.iter().copied().filter(|found| may_connect(name, found.ip(), &named)).collect();
            if let (true, Some(first)) = (permitted.is_empty(), found.first()) {
                let what = format!("a connection to {name}, which leads to the private address {}", first.ip());
                denials.request(
                    &what,
                    &format!("allow.http = [\"http://{}\"], beside the grant for the name", first.ip()),
                );
                return Err(Box::new(Prohibited) as Box<_>);
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

fn may_connect(name: &str, address: IpAddr, named: &[IpAddr]) -> bool {
    let this_host = name.eq_ignore_ascii_case("localhost") && address.is_loopback();
    addresses::is_public(address) || this_host || named.contains(&address)
}

/// A name leads to private addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to private addresses only")]
struct Prohibited;

/// What a guest is told about a request that failed.
pub(super) fn error(error: reqwest::Error) -> Error {
    let causes =
        || std::iter::successors(error.source(), |cause: &&(dyn std::error::Error + 'static)| (*cause).source());
    if causes().any(|cause| cause.is::<Prohibited>()) {
        return Error::DestinationIpProhibited;
    }
    if causes().any(|cause| cause.is::<http_body_util::LengthLimitError>()) {
        return Error::HttpRequestBodySize(Some(MAX_BODY as u64));
    }
    if let Some(tls) = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return match tls {
            rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        };
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Error::ConnectionTimeout,
        (true, false) => Error::ConnectionRefused,
        (false, true) => Error::HttpResponseTimeout,
        (false, false) if error.is_builder() => Error::HttpRequestUriInvalid,
        (false, false) => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_must_be_named() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let named = [address("10.0.0.5")];
        assert!(may_connect("a.example", address("1.1.1.1"), &[]));
        assert!(may_connect("a.example", address("10.0.0.5"), &named));
        assert!(may_connect("localhost", address("127.0.0.1"), &[]));
        assert!(!may_connect("a.example", address("127.0.0.1"), &[]));
        assert!(!may_connect("localhost", address("10.0.0.6"), &named));
    }
}
