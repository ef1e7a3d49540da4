//! Sends a request by `wasi:http` 0.2 and blocks for the answer.
use std::time::Duration;

use crate::bindings::plain::wasi::clocks0_2_12::monotonic_clock;
use crate::bindings::plain::wasi::http0_2_12::outgoing_handler;
use crate::bindings::plain::wasi::http0_2_12::types::Fields;
use crate::bindings::plain::wasi::http0_2_12::types::FutureIncomingResponse;
use crate::bindings::plain::wasi::http0_2_12::types::HeaderError;
use crate::bindings::plain::wasi::http0_2_12::types::IncomingResponse;
use crate::bindings::plain::wasi::http0_2_12::types::Method;
use crate::bindings::plain::wasi::http0_2_12::types::OutgoingBody;
use crate::bindings::plain::wasi::http0_2_12::types::OutgoingRequest;
use crate::bindings::plain::wasi::http0_2_12::types::Scheme;
use crate::bindings::plain::wasi::io::poll;
use crate::bindings::plain::wasi::io::poll::Pollable;
use crate::bindings::plain::wasi::io::streams::StreamError;
use crate::http::Error;
use crate::http::Request;
use crate::http::Response;

/// How much of the answer is read at once.
const CHUNK: u64 = 64 << 10;

pub(super) fn send(request: &Request) -> Result<Response, Error> {
    let clock = Clock::start(request.timeout);
    let outgoing = outgoing(request)?;
    // Without a body to write there is none to finish either.
    let body = if request.body.is_empty() { None } else { outgoing.body().ok() };
    let answer = outgoing_handler::handle(outgoing, None)?;
    if let Some(body) = body {
        write(body, &request.body, &clock)?;
    }
    read(wait(&answer, &clock)?, request.max_body, &clock)
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let (scheme, authority, path) = request.target()?;
    let headers = Fields::from_list(&request.all_headers()).map_err(|error| match error {
        HeaderError::Forbidden => Error::Invalid("a header is one that only the runtime sets".to_owned()),
        _ => request.malformed("headers"),
    })?;
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| request.malformed("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| request.malformed("scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| request.malformed("host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| request.malformed("path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

/// A body that the destination stops taking is no error yet: it may have answered, and its answer says why.
fn write(body: OutgoingBody, mut bytes: &[u8], clock: &Clock) -> Result<(), Error> {
    {
        let Ok(stream) = body.write() else { return Ok(()) };
        while !bytes.is_empty() {
            let room = match stream.check_write() {
                Ok(0) => {
                    clock.wait(&stream.subscribe())?;
                    continue;
                }
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX),
                Err(_) => return Ok(()),
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if stream.write(now).is_err() {
                return Ok(());
            }
            bytes = later;
        }
        if stream.flush().is_ok() {
            clock.wait(&stream.subscribe())?;
        }
    }
    // The answer says what came of it.
    OutgoingBody::finish(body, None).or(Ok(()))
}

fn wait(answer: &FutureIncomingResponse, clock: &Clock) -> Result<IncomingResponse, Error> {
    loop {
        match answer.get() {
            Some(Ok(answer)) => return Ok(answer?),
            Some(Err(())) => return Err(Error::NoAnswer("the answer was taken twice".to_owned())),
            None => clock.wait(&answer.subscribe())?,
        }
    }
}

fn read(answer: IncomingResponse, most: usize, clock: &Clock) -> Result<Response, Error> {
    let broke_off = || Error::NoAnswer("the answer broke off".to_owned());
    let mut response = Response::new(answer.status());
    response.headers = answer.headers().entries();
    let incoming = answer.consume().map_err(|()| broke_off())?;
    let stream = incoming.stream().map_err(|()| broke_off())?;
    while response.body.len() < most {
        match stream.read(CHUNK) {
            Ok(bytes) if bytes.is_empty() => clock.wait(&stream.subscribe())?,
            Ok(bytes) => response.body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => break,
            Err(_) => return Err(broke_off()),
        }
    }
    response.body.truncate(most);
    Ok(response)
}

/// The time that a request has left.
struct Clock(Option<(Duration, Pollable)>);

impl Clock {
    fn start(timeout: Option<Duration>) -> Self {
        let alarm = |after: Duration| {
            let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            (after, monotonic_clock::subscribe_duration(nanoseconds))
        };
        Self(timeout.map(alarm))
    }

    /// Blocks until `ready`, or fails when time is up before.
    fn wait(&self, ready: &Pollable) -> Result<(), Error> {
        let Some((timeout, alarm)) = &self.0 else {
            ready.block();
            return Ok(());
        };
        if poll::poll(&[ready, alarm]).contains(&0) {
            return Ok(());
        }
        Err(Error::NoAnswer(format!("no answer within {timeout:?}")))
    }
}
