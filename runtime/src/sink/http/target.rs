//! Where a request goes: its URL and its headers, with what events fill in.

use std::collections::BTreeMap;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::settings::{HeaderTemplate, Name};
use crate::batch::Batch;
use crate::expr::{Missing, Template};
use crate::sink::Failure;

/// A URL, perhaps with places that an event fills, such as `https://example.com/{header:tenant}/events`.
///
/// What an event fills in is percent-encoded. It can't change the scheme, the host or the segments of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UrlTemplate {
    template: Template,
    /// With `x` in each place.
    #[serde(skip)]
    outline: Url,
}

impl UrlTemplate {
    /// Reads a URL. The error says what would be accepted.
    pub fn new(text: &str) -> Result<UrlTemplate, String> {
        let template = Template::parse(text).map_err(|error| match error.column(text) {
            Some(column) => format!("{error} (column {column})"),
            None => error.to_string(),
        })?;
        let template = template.percent_encoded();
        let prefix = template.prefix();
        let Some((scheme, rest)) = prefix.split_once("://").filter(|(scheme, _)| is_http(scheme)) else {
            return Err(
                "the URL does not begin with `https://` or `http://`: write one such as `https://example.com/events`"
                    .into(),
            );
        };
        if !template.is_constant() && !rest.contains(['/', '?']) {
            return Err(format!(
                "an event must not choose the host that it goes to: write the host out, as in `{scheme}://example.com/{{key}}`"
            ));
        }
        let outline = template.outline();
        let ambiguous = path(&outline).split('/').any(is_dots) || outline.contains(['\\', '\t', '\n', '\r']);
        if ambiguous && !template.is_constant() {
            return Err("`.`, `..` and `\\` in a path with places are ambiguous: leave them out".into());
        }
        let outline = Url::parse(&outline).map_err(|error| format!("the URL can't be used: {error}"))?;
        if !outline.username().is_empty() || outline.password().is_some() {
            return Err("the URL has credentials in it: put them into `auth`".into());
        }
        if outline.fragment().is_some() {
            return Err("the URL has a fragment, which no server gets: leave out what begins with `#`".into());
        }
        Ok(UrlTemplate { template, outline })
    }

    /// Scheme, host and port, which are the same for all events: all of it that may be told.
    pub(super) fn origin(&self) -> String {
        self.outline.origin().ascii_serialization()
    }

    /// The URL for one event, which must be in the batch.
    fn of(&self, batch: &Batch, row: usize) -> Result<Url, Failure> {
        if self.template.is_constant() {
            return Ok(self.outline.clone());
        }
        let mut text = String::new();
        self.template.render(batch, row, &mut text).map_err(|missing| lacks(&missing))?;
        let outline = self.template.outline();
        let segments = path(&text).split('/').zip(path(&outline).split('/'));
        for (filled, outline) in segments {
            if is_dots(filled) || (filled.is_empty() && !outline.is_empty()) {
                return Err(Failure::rejected("url", "the event would leave its place in the path of the URL"));
            }
        }
        Url::parse(&text).map_err(|error| Failure::rejected("url", format!("the event makes no URL: {error}")))
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// The path of a URL, as it is written.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.find('/').map_or("", |slash| &rest[slash..])
}

/// Whether a segment means another one, in any of the spellings that are read so (WHATWG URL, section 4.1).
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

fn lacks(missing: &Missing) -> Failure {
    Failure::rejected("template", missing.to_string())
}

impl<'de> Deserialize<'de> for UrlTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UrlTemplate, D::Error> {
        UrlTemplate::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Where events go, and the headers that go with them.
#[derive(Debug)]
pub(super) struct Address {
    url: UrlTemplate,
    /// Those that are the same for all events.
    fixed: HeaderMap,
    filled: Vec<(HeaderName, HeaderTemplate)>,
}

/// Where one request goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

impl Address {
    /// `fixed` are headers of the sink's own, which those of the user replace.
    pub(super) fn new(url: UrlTemplate, mut fixed: HeaderMap, headers: &BTreeMap<Name, HeaderTemplate>) -> Address {
        let mut filled = Vec::new();
        for (name, template) in headers {
            match template.get().constant().and_then(|text| HeaderValue::from_str(text).ok()) {
                Some(value) => drop(fixed.insert(name.get(), sensitive(value))),
                None => {
                    fixed.remove(name.get());
                    filled.push((name.get().clone(), template.clone()));
                }
            }
        }
        Address { url, fixed, filled }
    }

    /// What tells events apart that can't share a request; none where all can.
    pub(super) fn destination(&self) -> Option<Template> {
        let headers = self.filled.iter().map(|(_, template)| template.get());
        let all = std::iter::once(&self.url.template).chain(headers).filter(|template| !template.is_constant());
        let all: Vec<&Template> = all.collect();
        (!all.is_empty()).then(|| Template::joined(all))
    }

    /// Where one event goes, which must be in the batch. Fails, for this event, where it lacks something.
    pub(super) fn of(&self, batch: &Batch, row: usize) -> Result<Target, Failure> {
        let (url, mut headers) = (self.url.of(batch, row)?, self.fixed.clone());
        for (name, template) in &self.filled {
            let mut text = String::new();
            template.get().render(batch, row, &mut text).map_err(|missing| lacks(&missing))?;
            let value = HeaderValue::from_str(&text).map_err(|_| {
                Failure::rejected(
                    "header",
                    format!("the event gives the header `{name}` a value with control characters"),
                )
            })?;
            headers.insert(name, sensitive(value));
        }
        Ok(Target { url, headers })
    }
}

/// Nobody prints it, and no table of HTTP/2 keeps it.
pub(super) fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn keyed(key: &str) -> Batch {
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("p"), Event { key: Some(key.as_bytes()), ..Event::default() });
        builder.finish().unwrap()
    }

    fn filled(template: &str, key: &str) -> Result<String, String> {
        let url = UrlTemplate::new(template).unwrap().of(&keyed(key), 0);
        url.map(|url| url.to_string()).map_err(|failure| failure.code.to_string())
    }

    #[test]
    fn an_event_stays_in_its_place() {
        for (template, key, url) in [
            ("https://a.example/{key}/x", "k", "https://a.example/k/x"),
            ("https://a.example/{key}/x", "a/../b", "https://a.example/a%2F..%2Fb/x"),
            ("https://a.example/{key}", "?b#c", "https://a.example/%3Fb%23c"),
            ("https://a.example/{key}", "%2e%2e", "https://a.example/%252e%252e"),
            ("https://a.example/v{key}", "..", "https://a.example/v.."),
            ("https://a.example/x?k={key}", "..", "https://a.example/x?k=.."),
            ("https://a.example/x?k={key}&l=1", "&l=2", "https://a.example/x?k=%26l%3D2&l=1"),
            ("https://a.example?k={key}", "", "https://a.example/?k="),
            ("http://[::1]:8080/{key}", "@b.example", "http://[::1]:8080/%40b.example"),
        ] {
            assert_eq!(filled(template, key).as_deref(), Ok(url), "{template} {key}");
        }
        for key in ["..", ".", ""] {
            assert_eq!(filled("https://a.example/{key}/x", key), Err("url".into()), "{key}");
        }
        assert_eq!(filled("https://a.example/{key}{key}", "."), Err("url".into()));
        assert_eq!(filled("https://a.example/{header:x}", "k"), Err("template".into()));
    }

    #[test]
    fn an_event_does_not_choose_its_host() {
        for (url, what) in [
            ("{key}", "does not begin with"),
            ("ftp://a.example", "does not begin with"),
            ("https://{key}/x", "must not choose the host"),
            ("https://a.example{key}", "must not choose the host"),
            ("https://a.example:{key}/", "must not choose the host"),
            ("https://u:p@a.example/", "put them into `auth`"),
            ("https://u:p@a.example/{key}", "put them into `auth`"),
            ("https://a.example/#{key}", "fragment"),
            ("https://a.example/../{key}", "ambiguous"),
            ("https://a.example/%2E%2e/{key}", "ambiguous"),
            ("https://a.example/a\\{key}", "ambiguous"),
            ("https://", "can't be used"),
            ("https://a.example:99999/", "can't be used"),
            ("https://a.example/{kye}", "unknown place"),
        ] {
            let error = UrlTemplate::new(url).unwrap_err();
            assert!(error.contains(what), "{url}: {error}");
        }
        assert_eq!(UrlTemplate::new("https://A.example:443/x?t=1").unwrap().origin(), "https://a.example");
    }

    #[test]
    fn headers_that_events_fill_part_them() {
        let template = |text: &str| HeaderTemplate::new(text).unwrap();
        let headers = BTreeMap::from([
            (Name::new("content-type").unwrap(), template("text/plain")),
            (Name::new("X-Scope-OrgID").unwrap(), template("t-{key}")),
        ]);
        let own = HeaderMap::from_iter([(::http::header::CONTENT_TYPE, HeaderValue::from_static("x/y"))]);
        let address = Address::new(UrlTemplate::new("https://a.example/").unwrap(), own.clone(), &headers);
        assert_eq!(address.destination().map(|template| template.text().to_owned()), Some("t-{key}".into()));
        let target = address.of(&keyed("1"), 0).unwrap();
        assert_eq!(
            (&target.headers["content-type"], &target.headers["x-scope-orgid"]),
            (&"text/plain".parse().unwrap(), &"t-1".parse().unwrap())
        );
        assert!(target.headers["x-scope-orgid"].is_sensitive());
        assert_eq!(&*address.of(&keyed("a\nb"), 0).unwrap_err().code, "header");
        assert!(
            Address::new(UrlTemplate::new("https://a.example/").unwrap(), own, &BTreeMap::new())
                .destination()
                .is_none()
        );
    }
}
