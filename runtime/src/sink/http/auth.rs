//! Who a request says that it is from.

use std::fmt;

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::target::sensitive;
use crate::units::Secret;

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
}

/// The kinds of `auth`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Basic,
    Bearer,
    Header,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::Basic => "basic",
            Kind::Bearer => "bearer",
            Kind::Header => "header",
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
    pub(super) fn put(&self, headers: &mut HeaderMap) -> Result<(), String> {
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
        }
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
