//! Sends a request by `wasi:http` 0.3, so that other writes of the instance go on meanwhile.
use std::pin::pin;

use futures_util::future;
use futures_util::future::Either;

use crate::bindings::overlapping::wasi::clocks0_3_0::monotonic_clock;
use crate::bindings::overlapping::wasi::http0_3_0::client;
use crate::bindings::overlapping::wasi::http0_3_0::types;
use crate::bindings::overlapping::wasi::http0_3_0::types::Fields;
use crate::bindings::overlapping::wasi::http0_3_0::types::HeaderError;
use crate::bindings::overlapping::wasi::http0_3_0::types::Method;
use crate::bindings::overlapping::wasi::http0_3_0::types::Scheme;
use crate::bindings::overlapping::wit_future;
use crate::bindings::overlapping::wit_stream;
use crate::http::Error;
use crate::http::Request;
use crate::http::Response;

/// How much of the answer is read at once.
const CHUNK: usize = 64 << 10;

pub(super) async fn send(request: Request) -> Result<Response, Error> {
    let Some(timeout) = request.timeout else { return exchange(request).await };
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let alarm = pin!(monotonic_clock::wait_for(nanoseconds));
    match future::select(pin!(exchange(request)), alarm).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(Error::NoAnswer(format!("no answer within {timeout:?}"))),
    }
}

async fn exchange(mut request: Request) -> Result<Response, Error> {
    let headers = headers(&request)?;
    let body = std::mem::take(&mut request.body);
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    let (writer, contents) = if body.is_empty() {
        (None, None)
    } else {
        let (writer, contents) = wit_stream::new();
        (Some(writer), Some(contents))
    };
    let (outgoing, _sent) = types::Request::new(headers, contents, no_trailers, None);
    address(&outgoing, &request)?;
    let answer = pin!(async { read(client::send(outgoing).await?, request.max_body).await });
    let write = pin!(async move {
        if let Some(mut writer) = writer {
            // What the destination does not take, its answer explains.
            let _left = writer.write_all(body).await;
        }
        drop(trailers);
    });
    // An answer before the end of the body is an answer: the rest is not needed.
    match future::select(answer, write).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => answer.await,
    }
}

fn headers(request: &Request) -> Result<Fields, Error> {
    Fields::from_list(&request.all_headers()).map_err(|error| match error {
        HeaderError::Forbidden => Error::Invalid("a header is one that only the runtime sets".to_owned()),
        _ => request.malformed("headers"),
    })
}

fn address(outgoing: &types::Request, request: &Request) -> Result<(), Error> {
    let (scheme, authority, path) = request.target()?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| request.malformed("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| request.malformed("scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| request.malformed("host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| request.malformed("path"))
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

async fn read(answer: types::Response, most: usize) -> Result<Response, Error> {
    let mut response = Response::new(answer.get_status_code());
    response.headers = answer.get_headers().copy_all();
    let (taken, result) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = types::Response::consume_body(answer, result);
    let mut whole = false;
    while response.body.len() < most {
        let (state, chunk) = stream.read(Vec::with_capacity(CHUNK)).await;
        response.body.extend_from_slice(&chunk);
        if !matches!(state, wit_bindgen::StreamResult::Complete(_)) {
            whole = true;
            break;
        }
    }
    response.body.truncate(most);
    drop(stream);
    drop(taken);
    if whole {
        trailers.await?;
    }
    Ok(response)
}
