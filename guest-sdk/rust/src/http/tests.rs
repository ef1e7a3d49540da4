//! What statuses, errors and URLs turn into.
use super::*;
use crate::Kind;

fn kind(status: u16) -> Option<Kind> {
    Response::new(status).outcome().err().map(|error| error.kind())
}

#[test]
fn a_status_has_the_outcome_of_the_native_http_sink() {
    for status in [200, 201, 204, 299] {
        assert_eq!(kind(status), None, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 507, 599] {
        assert_eq!(kind(status), Some(Kind::Transient(None)), "{status}");
    }
    for status in [401, 403, 407] {
        assert_eq!(kind(status), Some(Kind::Halted), "{status}");
    }
    for status in [100, 301, 400, 404, 409, 413, 422, 501, 505] {
        assert_eq!(kind(status), Some(Kind::Rejected), "{status}");
    }
}

#[test]
fn retry_after_is_passed_on() {
    let error = Response::new(429).with_header("Retry-After", "7").outcome().unwrap_err();
    assert_eq!(error.kind(), Kind::Transient(Some(Duration::from_secs(7))));
}

#[test]
fn a_refusal_quotes_the_answer_and_no_more_than_its_beginning() {
    let error = Response::new(400).with_body("no such field\n").outcome().unwrap_err();
    assert_eq!(error.message(), "status 400: no such field");
    let long = Response::new(400).with_body(vec![b'x'; 5000]).outcome().unwrap_err();
    assert_eq!(long.message().len(), "status 400: ".len() + 200);
}

#[test]
fn an_error_keeps_its_kind_on_its_way_through_the_question_mark() {
    let of = |error: Error| crate::Error::from(error).kind();
    assert_eq!(of(Error::Invalid(String::new())), Kind::Rejected);
    assert_eq!(of(Error::Denied(String::new())), Kind::Halted);
    assert_eq!(of(Error::NotSent(String::new())), Kind::Transient(None));
    assert_eq!(of(Error::NoAnswer(String::new())), Kind::Unknown);
}

#[test]
fn a_url_is_taken_apart() {
    let parts = |url: &str| {
        let request = Request::get(url);
        request.target().map(|(scheme, authority, path)| format!("{scheme} {authority} {path}"))
    };
    assert_eq!(parts("http://host:80/a/b?c=d#e").unwrap(), "http host:80 /a/b?c=d");
    assert_eq!(parts("https://host").unwrap(), "https host /");
    assert_eq!(parts("https://host?q").unwrap(), "https host /?q");
    for url in ["host/a", "ftp://host/", "http:///a", ""] {
        assert!(matches!(parts(url), Err(Error::Invalid(_))), "{url}");
    }
}
