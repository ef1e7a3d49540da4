//! TLS: rustls with ring, set up in one place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// What a client trusts, and what it shows of itself. All files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    /// Certificates that are trusted instead of those of the system.
    pub ca: Option<PathBuf>,
    /// The client's own certificate, and those between it and one that the server trusts.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
    /// Takes `true` alone: a server that is not verified could be anybody.
    #[serde(deserialize_with = "always", skip_serializing)]
    pub verify: (),
}

/// A file of the settings can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BadTls {
    /// Which setting names it.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// What a client verifies servers with and shows them. The protocols above TLS are for the caller to add.
///
/// Fails at a file that can't be read or is not what it should be. Blocks while it reads.
pub fn client(settings: &ClientSettings) -> Result<ClientConfig, BadTls> {
    let bad = |key, message: String| BadTls { key, message };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("ca", error.to_string()))?;
    let builder = match &settings.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(|error| {
            bad("ca", format!("the system's certificates can't be used: {error}: name a file of certificates to trust"))
        })?,
    };
    match (&settings.cert, &settings.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = certificates("cert", cert)?;
            let paired = builder.with_client_auth_cert(chain, private_key(key)?);
            paired.map_err(|error| bad("key", format!("{} does not fit `cert`: {error}", key.display())))
        }
        (Some(_), None) => Err(bad("cert", "a certificate is of no use without its private key: add `key`".into())),
        (None, Some(_)) => Err(bad("key", "a private key is of no use without its certificate: add `cert`".into())),
    }
}

/// The cryptography of every connection.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(path: &Path) -> Result<RootCertStore, BadTls> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca", path)? {
        roots.add(certificate).map_err(|error| BadTls {
            key: "ca",
            message: format!("{} has a certificate that can't be trusted: {error}", path.display()),
        })?;
    }
    Ok(roots)
}

/// All certificates of a file, of which there must be one. `key` is the setting that names it.
pub fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let bad = |error: &dyn fmt::Display| BadTls { key, message: format!("{} {error}", path.display()) };
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(bad(&"has no certificate: one begins with `-----BEGIN CERTIFICATE-----`")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(&unreadable(&error))),
    }
}

/// The private key in a file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BadTls> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound => {
                "has no private key that is not encrypted: one begins with `-----BEGIN PRIVATE KEY-----`".to_owned()
            }
            error => unreadable(&error),
        };
        BadTls { key: "key", message: format!("{} {problem}", path.display()) }
    })
}

fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("can't be read: {error}"),
        error => format!("is not PEM: {error}"),
    }
}

fn always<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match bool::deserialize(deserializer)? {
        true => Ok(()),
        false => Err(D::Error::custom(
            "a server is always verified: name its certificate, or that of its authority, as `ca`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClientSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn bad(settings: &ClientSettings) -> (&'static str, String) {
        let bad = client(settings).unwrap_err();
        (bad.key, bad.message)
    }

    #[test]
    fn a_server_is_always_verified() {
        assert_eq!(read("verify = true"), Ok(ClientSettings::default()));
        assert!(read("verify = false").unwrap_err().contains("a server is always verified"));
    }

    #[test]
    fn what_can_not_be_used_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.pem");
        std::fs::write(&path, "").unwrap();
        let name = path.display().to_string();
        let of = |text: &str| read(&text.replace("EMPTY", &name)).unwrap();
        let (key, message) = bad(&of("ca = 'EMPTY'"));
        assert!(key == "ca" && message.starts_with(&format!("{name} has no certificate")), "{message}");
        let (key, message) = bad(&of("ca = 'EMPTY.not'"));
        assert!(key == "ca" && message.contains("can't be read: No such file"), "{message}");
        assert_eq!(bad(&of("cert = 'EMPTY'")).0, "cert");
        assert_eq!(bad(&of("key = 'EMPTY'")).0, "key");
        let message = private_key(&path).unwrap_err().message;
        assert!(message.contains("has no private key"), "{message}");
    }
}
