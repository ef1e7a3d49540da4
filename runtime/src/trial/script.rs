//! Endpoints that answer as they are told, and remember what they were asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer::{Answer, Fault};
use super::talk::{Talk, Unconnected, talk};
use crate::wasm::{AnswerBody, Connection, Endpoint, NoAnswer};

/// See the module.
#[derive(Debug)]
pub(super) struct Script(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Each until it is used up.
    answers: Vec<Option<Answer>>,
    asked: Vec<Asked>,
    talks: Vec<Option<Talk>>,
    /// One for each connection that goes on.
    talking: JoinSet<()>,
    /// What of it nobody expected, in words for people.
    odd: Vec<String>,
    connections: usize,
}

/// A request that a component made.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether there was an answer for it.
    pub(super) answered: bool,
}

impl Script {
    /// Gives these answers, in order, each to the first request that it is for, and has these talks, each over the first
    /// connection that it is for. No answer at all means 200 for every request.
    pub(super) fn new(mut answers: Vec<Answer>, talks: Vec<Talk>) -> Script {
        if answers.is_empty() {
            answers.push(Answer::always(None));
        }
        let (answers, talks) = (answers.into_iter().map(Some).collect(), talks.into_iter().map(Some).collect());
        Script(Arc::new(Mutex::new(State { answers, talks, ..State::default() })))
    }

    /// Returns once nothing more is said over any connection.
    pub(super) async fn settle(&self) {
        // Time goes on only when everybody waits.
        sleep(Duration::from_millis(1)).await;
    }

    /// What nobody expected of connections: what was said over them, and those that did not come or end.
    pub(super) fn oddities(&self) -> Vec<String> {
        let mut state = self.state();
        while state.talking.try_join_next().is_some() {}
        let mut odd = std::mem::take(&mut state.odd);
        if !state.talking.is_empty() {
            odd.push(format!("{} connections are still open, and wait for something", state.talking.len()));
        }
        let left = (1..).zip(&state.talks).filter(|(_, talk)| talk.as_ref().is_some_and(|talk| !talk.repeat));
        odd.extend(left.map(|(number, _)| format!("`connections`, number {number}: nobody connected")));
        odd
    }

    /// From now on every request gets this.
    pub(super) fn turn_to(&self, answer: Answer) {
        self.state().answers = vec![Some(answer)];
    }

    /// What was asked since this was last called.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// The numbers, from 1, of answers that are left.
    pub(super) fn unused(&self) -> Vec<usize> {
        let is_left = |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| !answer.repeat);
        (1..).zip(&self.state().answers).filter(|(_, answer)| is_left(answer)).map(|(number, _)| number).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, request: Request<Bytes>) -> Option<Answer> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let mut state = self.state();
        let is_for = |answer: &Answer| answer.to.as_ref().is_none_or(|to| url.starts_with(to));
        let next = state.answers.iter_mut().find(|answer| answer.as_ref().is_some_and(is_for));
        let answer = next.and_then(|next| if next.as_ref()?.repeat { next.clone() } else { next.take() });
        state.asked.push(Asked {
            method: head.method.to_string(),
            url,
            headers: head.headers,
            body: body.into(),
            answered: answer.is_some(),
        });
        answer
    }
}

#[async_trait]
impl Endpoint for Script {
    async fn answer(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, NoAnswer> {
        // One that nobody thought of is told by the case; the component only sees that nothing is there.
        let answer = self.note(request).ok_or(NoAnswer::Refused)?;
        sleep(answer.delay).await;
        match answer.fault {
            Some(Fault::NoHost) => return Err(NoAnswer::NoHost),
            Some(Fault::Refused) => return Err(NoAnswer::Refused),
            Some(Fault::Reset) => return Err(NoAnswer::Reset),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::ResetInBody) | None => {}
        }
        let mut response = Response::new(body(&answer));
        *response.status_mut() = answer.status;
        response.headers_mut().extend(answer.headers);
        Ok(response)
    }

    fn connect(&self, to: &str, connection: Connection) -> Result<Duration, NoAnswer> {
        let shared = Arc::clone(&self.0);
        let mut state = self.state();
        state.connections += 1;
        let number = state.connections;
        let is_for = |talk: &Talk| talk.to.as_ref().is_none_or(|meant| meant == to);
        let next = state.talks.iter_mut().find(|talk| talk.as_ref().is_some_and(is_for));
        let found = next.and_then(|next| if next.as_ref()?.repeat { next.clone() } else { next.take() });
        let Some(Talk { delay, fault, talk: steps, .. }) = found else {
            state.odd.push(format!("connection {number}: `connections` has none for it: {to}"));
            return Err(NoAnswer::Refused);
        };
        match fault {
            Some(Unconnected::Refused) => return Err(NoAnswer::Refused),
            Some(Unconnected::Silence) => return Ok(Duration::MAX),
            None => {}
        }
        state.talking.spawn(async move {
            sleep(delay).await;
            if let Err(odd) = talk(&steps, &connection).await {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.odd.push(format!("connection {number}, {odd}"));
            }
        });
        Ok(delay)
    }
}

/// Half of the body, the pause, and the other half or its end.
fn body(answer: &Answer) -> AnswerBody {
    let bytes = Bytes::from(answer.body.bytes());
    let (pause, breaks) = (answer.pause, answer.fault == Some(Fault::ResetInBody));
    let (first, second) = (bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..));
    let parts = stream::iter([(first, false), (second, true)]);
    let frames = parts.then(move |(part, is_second)| async move {
        if is_second {
            sleep(pause).await;
        }
        if is_second && breaks { Err(NoAnswer::Reset) } else { Ok(Frame::data(part)) }
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn script(answers: &str) -> Script {
        #[derive(serde::Deserialize)]
        struct File {
            answers: Vec<Answer>,
        }
        Script::new(toml::from_str::<File>(answers).unwrap().answers, Vec::new())
    }

    async fn asked(script: &Script, url: &str) -> Result<String, NoAnswer> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let answer = script.answer(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_goes_to_the_first_request_that_it_is_for() {
        let script = script(
            "[[answers]]\nto = 'http://b/'\nstatus = 404\n[[answers]]\nbody = 'any'\n\
             [[answers]]\nto = 'http://a/'\nrepeat = true\nstatus = 204",
        );
        let mut said = Vec::new();
        for url in ["http://a/1", "http://a/2", "http://b/1", "http://a/3", "http://b/2"] {
            said.push(asked(&script, url).await);
        }
        let said: Vec<_> = said.iter().map(|said| said.as_deref()).collect();
        assert_eq!(said, [Ok("200 any"), Ok("204 "), Ok("404 "), Ok("204 "), Err(&NoAnswer::Refused)]);
        assert_eq!(script.unused(), [0; 0]);
        let answered: Vec<bool> = script.take_asked().iter().map(|asked| asked.answered).collect();
        assert_eq!(answered, [true, true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_late_and_slow_as_it_is_told() {
        let script = script(
            "answers = [{ delay = '1m', pause = '1h', body = 'abc' }, { fault = 'reset-in-body', body = 'abc' }]",
        );
        let begun = Instant::now();
        assert_eq!(asked(&script, "http://a/").await.as_deref(), Ok("200 abc"));
        assert_eq!(begun.elapsed().as_secs(), Duration::from_secs(3660).as_secs());
        assert_eq!(asked(&script, "http://a/").await, Err(NoAnswer::Reset));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_script_everything_is_well_and_what_is_left_of_one_is_told() {
        let script = Script::new(Vec::new(), Vec::new());
        assert_eq!(asked(&script, "http://a/").await.as_deref(), Ok("200 "));
        assert_eq!(script.unused(), [0; 0]);
        script.turn_to(Answer { repeat: false, ..Answer::always(Some(Fault::NoHost)) });
        assert_eq!(script.unused(), [1]);
        assert_eq!(asked(&script, "http://a/").await, Err(NoAnswer::NoHost));
    }
}
