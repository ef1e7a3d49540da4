//! Answers requests in native builds, where nothing is sent.
use std::cell::RefCell;

use crate::http::Error;
use crate::http::Request;
use crate::http::Response;

/// Gives the answer to a request.
pub(crate) type Answer = Box<dyn FnMut(Request) -> Result<Response, Error>>;

thread_local! {
    static ENDPOINT: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// Sets who answers in this thread from now on.
pub(crate) fn install(answer: Option<Answer>) {
    ENDPOINT.with(|endpoint| endpoint.replace(answer));
}

pub(super) fn send(request: Request) -> Result<Response, Error> {
    request.target()?;
    ENDPOINT.with(|endpoint| match endpoint.borrow_mut().as_mut() {
        Some(answer) => answer(request),
        None => Err(Error::Denied("no `sump_sdk::testing::Endpoint` answers in this thread".to_owned())),
    })
}
