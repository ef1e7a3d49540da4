//! Who a request says that it is from.

pub(super) mod oauth2;
mod sigv4;

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Client, Request};
use serde::{Deserialize, Serialize};

use self::oauth2::Tokens;
use super::Unusable;
use super::target::sensitive;
use crate::sink::Failure;
use crate::units::Secret;

pub use oauth2::{ClientCredentials, CredentialsIn};
pub use sigv4::SigningKey;

/// `auth`: how requests are authenticated.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Table", tag = "type", rename_all = "snake_case")]
pub enum Auth {
    /// A user and a password (RFC 7617).
    Basic {
        /// Without a colon.
        user: String,
        /// Perhaps empty.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer {
        /// Without `Bearer`.
        token: Secret,
    },
    /// A header of any name.
    Header {
        /// Such as `X-Api-Key`.
        name: String,
        /// All of its value.
        value: Secret,
    },
    /// A token that the sink gets for itself.
    #[serde(rename = "oauth2")]
    OAuth2(ClientCredentials),
    /// A signature for Amazon's services.
    #[serde(rename = "sigv4")]
    SigV4(SigningKey),
}

/// The kinds of `auth`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Basic,
    Bearer,
    Header,
    #[serde(rename = "oauth2")]
    OAuth2,
    #[serde(rename = "sigv4")]
    SigV4,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Basic => "basic",
            Kind::Bearer => "bearer",
            Kind::Header => "header",
            Kind::OAuth2 => "oauth2",
            Kind::SigV4 => "sigv4",
        })
    }
}

/// `auth`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "type")]
    kind: Kind,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    name: Option<String>,
    value: Option<Secret>,
    token_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    scope: Option<String>,
    audience: Option<String>,
    credentials_in: Option<CredentialsIn>,
    region: Option<String>,
    service: Option<String>,
    access_key: Option<String>,
    secret_key: Option<Secret>,
    session_token: Option<Secret>,
}

impl TryFrom<Table> for Auth {
    type Error = String;

    fn try_from(mut table: Table) -> Result<Auth, String> {
        let kind = table.kind;
        let auth = match kind {
            Kind::Basic => {
                let user = need(kind, "user", table.user.take())?;
                if user.contains(':') {
                    return Err("`user` has a colon, which ends it: leave it out".into());
                }
                Auth::Basic { user, password: need(kind, "password", table.password.take())? }
            }
            Kind::Bearer => Auth::Bearer { token: need(kind, "token", table.token.take())? },
            Kind::Header => {
                let name = need(kind, "name", table.name.take())?;
                HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not the name of a header"))?;
                Auth::Header { name, value: need(kind, "value", table.value.take())? }
            }
            Kind::OAuth2 => Auth::OAuth2(ClientCredentials {
                token_url: need(kind, "token_url", table.token_url.take())?,
                client_id: need(kind, "client_id", table.client_id.take())?,
                client_secret: need(kind, "client_secret", table.client_secret.take())?,
                scope: table.scope.take(),
                audience: table.audience.take(),
                credentials_in: table.credentials_in.take().unwrap_or_default(),
            }),
            Kind::SigV4 => Auth::SigV4(SigningKey {
                region: need(kind, "region", table.region.take())?,
                service: need(kind, "service", table.service.take())?,
                access_key: need(kind, "access_key", table.access_key.take())?,
                secret_key: need(kind, "secret_key", table.secret_key.take())?,
                session_token: table.session_token.take(),
            }),
        };
        match table.left() {
            Some(key) => Err(format!("`{key}` is not for `{kind}`: remove it")),
            None => Ok(auth),
        }
    }
}

impl Table {
    /// A key that nobody took.
    fn left(&self) -> Option<&'static str> {
        let left = [
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("token", self.token.is_some()),
            ("name", self.name.is_some()),
            ("value", self.value.is_some()),
            ("token_url", self.token_url.is_some()),
            ("client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some()),
            ("scope", self.scope.is_some()),
            ("audience", self.audience.is_some()),
            ("credentials_in", self.credentials_in.is_some()),
            ("region", self.region.is_some()),
            ("service", self.service.is_some()),
            ("access_key", self.access_key.is_some()),
            ("secret_key", self.secret_key.is_some()),
            ("session_token", self.session_token.is_some()),
        ];
        left.into_iter().find_map(|(key, left)| left.then_some(key))
    }
}

fn need<T>(kind: Kind, key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("`{kind}` needs `{key}`: add `{key} = …`"))
}

/// What can't be a header's value.
const NO_VALUE: &str = "has a line break or a control character, which no header can carry";

impl Auth {
    /// Puts into the headers what is the same for all requests. The error names what can't be sent.
    fn put(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let (name, value, what) = match self {
            Auth::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
                (header::AUTHORIZATION, format!("Basic {pair}"), "user")
            }
            Auth::Bearer { token } => (header::AUTHORIZATION, format!("Bearer {}", token.reveal()), "token"),
            Auth::Header { name, value } => {
                let name = HeaderName::try_from(name).map_err(|_| "`name` is not the name of a header".to_owned())?;
                (name, value.reveal().to_owned(), "value")
            }
            Auth::OAuth2(_) | Auth::SigV4(_) => return Ok(()),
        };
        let value = HeaderValue::from_str(&value).map_err(|_| format!("`{what}` {NO_VALUE}"))?;
        headers.insert(name, sensitive(value));
        Ok(())
    }

    /// What must not be shown.
    pub(super) fn secrets(&self) -> Vec<&Secret> {
        match self {
            Auth::Basic { password, .. } => vec![password],
            Auth::Bearer { token } => vec![token],
            Auth::Header { value, .. } => vec![value],
            Auth::OAuth2(settings) => vec![&settings.client_secret],
            Auth::SigV4(key) => std::iter::once(&key.secret_key).chain(&key.session_token).collect(),
        }
    }
}

/// What is done for each request.
#[derive(Debug)]
pub(super) enum Signer {
    /// Nothing: its headers say it all.
    Nothing,
    Tokens(Box<Tokens>),
    Key(SigningKey),
}

impl Signer {
    /// Puts into the headers what is the same for all requests.
    pub(super) fn new(auth: Option<&Auth>, headers: &mut HeaderMap) -> Result<Signer, Unusable> {
        let unusable = |message| Unusable { pointer: "/auth".into(), message };
        let Some(auth) = auth else { return Ok(Signer::Nothing) };
        auth.put(headers).map_err(unusable)?;
        match auth {
            Auth::OAuth2(settings) => {
                let token_url = |message| Unusable { pointer: "/auth/token_url".into(), message };
                Ok(Signer::Tokens(Box::new(Tokens::new(settings).map_err(token_url)?)))
            }
            Auth::SigV4(key) => Ok(Signer::Key(key.clone())),
            Auth::Basic { .. } | Auth::Bearer { .. } | Auth::Header { .. } => Ok(Signer::Nothing),
        }
    }

    /// Adds to a request that has all its other headers what says who sends it.
    pub(super) async fn sign(&self, client: &Client, request: &mut Request, body: &Bytes) -> Result<(), Failure> {
        match self {
            Signer::Nothing => Ok(()),
            Signer::Tokens(tokens) => {
                request.headers_mut().insert(header::AUTHORIZATION, tokens.header(client).await?);
                Ok(())
            }
            Signer::Key(key) => key.sign(request, body).await,
        }
    }

    /// Whether a request that was refused may be made again, as somebody else: a token may end before its time.
    pub(super) async fn renews(&self, refused: &HeaderMap) -> bool {
        let (Signer::Tokens(tokens), Some(header)) = (self, refused.get(header::AUTHORIZATION)) else { return false };
        tokens.refused(header).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Auth, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    fn header(text: &str) -> (String, String) {
        let mut headers = HeaderMap::new();
        read(text).unwrap().put(&mut headers).unwrap();
        let (name, value) = headers.iter().next().unwrap();
        assert!(value.is_sensitive());
        (name.to_string(), value.to_str().unwrap().to_owned())
    }

    #[test]
    fn each_kind_is_a_header() {
        // The example of RFC 7617.
        let basic = header("type = 'basic'\nuser = 'Aladdin'\npassword = 'open sesame'");
        assert_eq!(basic, ("authorization".into(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into()));
        assert_eq!(header("type = 'bearer'\ntoken = 't'"), ("authorization".into(), "Bearer t".into()));
        assert_eq!(header("type = 'header'\nname = 'X-Api-Key'\nvalue = 'k'"), ("x-api-key".into(), "k".into()));
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (text, what) in [
            ("type = 'basic'\nuser = 'u'", "`basic` needs `password`"),
            ("type = 'basic'\nuser = 'u:v'\npassword = ''", "`user` has a colon"),
            ("type = 'bearer'\ntoken = 't'\nuser = 'u'", "`user` is not for `bearer`"),
            ("type = 'header'\nname = 'a b'\nvalue = 'x'", "is not the name of a header"),
            ("type = 'digest'", "unknown variant `digest`"),
            ("type = 'oauth2'\nclient_id = 'c'", "`oauth2` needs `token_url`"),
            (
                "type = 'sigv4'\nregion = 'r'\nservice = 's'\naccess_key = 'a'\nscope = 'x'",
                "`sigv4` needs `secret_key`",
            ),
            ("user = 'u'", "missing field `type`"),
            ("type = 'bearer'\ntokne = 't'", "unknown field `tokne`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        let broken = Auth::Bearer { token: Secret::new("a\nb") };
        assert!(broken.put(&mut HeaderMap::new()).unwrap_err().starts_with("`token` has a line break"));
    }
}
