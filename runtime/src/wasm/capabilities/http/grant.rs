//! A destination that is granted, and which requests it covers.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::BadGrant;
use crate::wasm::settings::AllowHttp;

/// A scheme, a host, a port and the beginning of a path, and the headers that the host adds.
#[derive(Debug)]
pub(super) struct Grant {
    to: Url,
    headers: HeaderMap,
}

impl Grant {
    /// Fails when the destination is not such a URL, or a header can't be sent.
    pub(super) fn new(allow: &AllowHttp) -> Result<Grant, BadGrant> {
        let bad = |problem: &str| BadGrant::Http { to: allow.to.clone(), problem: problem.to_owned() };
        let to = Url::parse(&allow.to).map_err(|_| bad("is not a URL: write `https://example.com/path`"))?;
        if !matches!(to.scheme(), "http" | "https") || to.host().is_none() {
            return Err(bad("does not begin with `https://` or `http://`"));
        }
        if to.query().is_some() || to.fragment().is_some() {
            return Err(bad("has a query or a fragment: a grant ends with the beginning of a path"));
        }
        if has_user(&to) {
            return Err(bad("has credentials in it: put them into `headers`"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &allow.headers {
            let name = HeaderName::try_from(name).map_err(|_| bad(&format!("has `{name}`, which names no header")))?;
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| bad(&format!("has a value for `{name}` that can't be in a header")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Grant { to, headers })
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Of several grants that cover a request, the longest counts.
    pub(super) fn specificity(&self) -> usize {
        self.to.path().len()
    }

    /// The host as it is written: a name in lower case, or an address.
    pub(super) fn host(&self) -> &str {
        self.to.host_str().unwrap_or_default()
    }

    /// Whether a request may go there. Parsing has resolved `.` and `..` in its path.
    pub(super) fn covers(&self, url: &Url) -> bool {
        let same = |a: &Url, b: &Url| {
            a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
        };
        same(&self.to, url) && !has_user(url) && covers_path(self.to.path(), url.path())
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a path is `prefix` or below it. Where that matters, a path that a server could read in another way
/// (encoded slashes and dots, backslashes) is below nothing.
fn covers_path(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return true;
    }
    let lower = path.to_ascii_lowercase();
    let ambiguous = ["%2e", "%2f", "%5c", "\\", "//", ";"].iter().any(|part| lower.contains(part));
    let rest = path.strip_prefix(prefix);
    !ambiguous && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn grant(to: &str) -> Result<Grant, BadGrant> {
        Grant::new(&AllowHttp { to: to.to_owned(), headers: BTreeMap::new() })
    }

    fn covers(to: &str, url: &str) -> bool {
        grant(to).unwrap().covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_be_the_same() {
        assert!(covers("https://a.example", "https://A.example:443/any?q=1"));
        assert!(covers("http://127.0.0.1:8080", "http://127.0.0.1:8080/"));
        for url in ["http://a.example/", "https://a.example:444/", "https://b.example/", "https://a.example.b.example/"]
        {
            assert!(!covers("https://a.example", url), "{url}");
        }
        assert!(!covers("https://a.example", "https://u:p@a.example/"));
    }

    #[test]
    fn a_path_covers_what_is_below_it() {
        for url in ["https://a.example/api", "https://a.example/api/x", "https://a.example/api/x/../y?z"] {
            assert!(covers("https://a.example/api", url), "{url}");
            assert!(covers("https://a.example/api/", url), "{url}");
        }
        for url in [
            "https://a.example/",
            "https://a.example/apix",
            "https://a.example/api/../admin",
            "https://a.example/api/%2e%2e/admin",
            "https://a.example/api/..%2fadmin",
            "https://a.example/api/..;/admin",
        ] {
            assert!(!covers("https://a.example/api", url), "{url}");
        }
    }

    #[test]
    fn what_is_no_destination_is_told() {
        for to in ["example.com", "ftp://a.example", "https://a.example/?q", "https://u:p@a.example"] {
            assert!(grant(to).is_err(), "{to}");
        }
    }
}
