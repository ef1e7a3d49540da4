//! HTTPS: certificates, which are read again when their files change.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::settings::Tls;
use crate::net::tls::{BadTls, certificates, private_key, provider};

/// How often to look whether files have changed.
const LOOK: Duration = Duration::from_secs(10);

/// What the next connection gets.
#[derive(Debug)]
pub(super) struct Certificates {
    tls: Tls,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    /// When the files were last changed, as they were read.
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Current").field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads them. The error says which file is wrong.
    pub(super) fn read(tls: &Tls) -> Result<Certificates, String> {
        let changed = changed(tls);
        let current = Current { acceptor: acceptor(tls)?, changed, looked: Instant::now() };
        Ok(Certificates { tls: tls.clone(), current: Mutex::new(current) })
    }

    /// As the files are, or were when they could last be used.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            self.look(&mut current);
        }
        current.acceptor.clone()
    }

    fn look(&self, current: &mut Current) {
        let changed = changed(&self.tls);
        if changed == current.changed {
            return;
        }
        match acceptor(&self.tls) {
            Ok(acceptor) => {
                info!(certificate = %self.tls.cert.display(), "certificates were read again");
                (current.acceptor, current.changed) = (acceptor, changed);
            }
            // They may be half written: it is tried again.
            Err(error) => warn!(error, "certificates have changed and can't be used: the old ones are kept"),
        }
    }
}

fn files(tls: &Tls) -> impl Iterator<Item = &Path> {
    [Some(&tls.cert), Some(&tls.key), tls.client_ca.as_ref()].into_iter().flatten().map(|path| path.as_path())
}

fn changed(tls: &Tls) -> Vec<Option<SystemTime>> {
    files(tls).map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, String> {
    let message = |bad: BadTls| bad.message;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match &tls.client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let unfit = |error: &dyn fmt::Display| format!("{} can't vouch for clients: {error}", path.display());
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", path).map_err(message)? {
                roots.add(authority).map_err(|error| unfit(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            config.with_client_cert_verifier(verifier.map_err(|error| unfit(&error))?)
        }
    };
    let chain = certificates("cert", &tls.cert).map_err(message)?;
    let mut config = config
        .with_single_cert(chain, private_key(&tls.key).map_err(message)?)
        .map_err(|error| format!("{} does not fit {}: {error}", tls.key.display(), tls.cert.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("empty"), "").unwrap();
        fs::write(path("bad"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        for (cert, key, client_ca, what) in [
            ("missing", "missing", None, "missing can't be read"),
            ("empty", "empty", None, "empty has no certificate"),
            ("empty", "empty", Some("missing"), "missing can't be read"),
            ("bad", "empty", None, "empty has no private key"),
            ("empty", "empty", Some("bad"), "bad can't vouch for clients"),
        ] {
            let tls = Tls { cert: path(cert), key: path(key), client_ca: client_ca.map(path) };
            let error = Certificates::read(&tls).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
