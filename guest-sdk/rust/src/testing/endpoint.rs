//! An HTTP endpoint under the test's control.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::http::Error;
use crate::http::Request;
use crate::http::Response;
use crate::http::fake;

/// Answers all requests of this thread, whatever their URL, and records them, until it is dropped.
///
/// ```
/// use sump_sdk::http::{Error, Request, Response};
/// use sump_sdk::testing::Endpoint;
///
/// let endpoint = Endpoint::answering([Ok(Response::new(204)), Err(Error::NotSent("connection refused".into()))]);
/// assert_eq!(Request::get("http://localhost/a").send().unwrap().status(), 204);
/// assert!(Request::get("http://localhost/b").send().is_err());
/// assert_eq!(endpoint.requests()[1].url(), "http://localhost/b");
/// ```
#[derive(Debug)]
pub struct Endpoint {
    requests: Rc<RefCell<Vec<Request>>>,
    /// It is the endpoint of its thread.
    bound: PhantomData<*const ()>,
}

impl Endpoint {
    /// Answers with what a function makes of each request.
    pub fn new(mut answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> Self {
        let requests = Rc::new(RefCell::new(Vec::new()));
        let record = Rc::clone(&requests);
        fake::install(Some(Box::new(move |request| {
            let answer = answer(&request);
            record.borrow_mut().push(request);
            answer
        })));
        Self { requests, bound: PhantomData }
    }

    /// Gives these answers one after the other; a request beyond them is denied.
    pub fn answering<A: Into<Scripted>>(answers: impl IntoIterator<Item = A>) -> Self {
        let mut answers: VecDeque<_> = answers.into_iter().map(|answer| answer.into().0).collect();
        Self::new(move |_| {
            let none = || Err(Error::Denied("the endpoint of this test has no answer left".to_owned()));
            answers.pop_front().unwrap_or_else(none)
        })
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        fake::install(None);
    }
}

/// A scripted answer: a [`Response`], or a `Result` with the [`Error`] that the request ends with.
#[derive(Debug)]
pub struct Scripted(Result<Response, Error>);

impl From<Response> for Scripted {
    fn from(response: Response) -> Self {
        Self(Ok(response))
    }
}

impl From<Result<Response, Error>> for Scripted {
    fn from(answer: Result<Response, Error>) -> Self {
        Self(answer)
    }
}
