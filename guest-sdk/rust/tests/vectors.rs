//! What every SDK makes of what becomes of single events: the vectors of the contract, `wit/vectors/events.json`.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use serde_json::Value;
use serde_json::json;
use sump_sdk::Context;
use sump_sdk::Error;
use sump_sdk::Event;
use sump_sdk::EventSink;
use sump_sdk::Kind;
use sump_sdk::Opening;
use sump_sdk::testing;
use sump_sdk::testing::Harness;
use sump_sdk::testing::Outcome;

const VECTORS: &str = include_str!("../../../wit/vectors/events.json");

/// What the sink is to do at the beginning and at the end of a batch.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Words {
    begin: Option<String>,
    flush: Option<String>,
}

/// Does what the words of a case say.
struct Obedient(Words);

fn obey(word: Option<&str>) -> Result<(), Error> {
    match word {
        Some("busy") => Err(Error::transient("busy", "come again")),
        Some("bad") => Err(Error::rejected("bad", "never")),
        Some("lost") => Err(Error::unknown("lost", "who knows")),
        Some("halt") => Err(Error::halted("halt", "call the operator")),
        Some("uncaught") => Ok("x".parse::<u8>().map(drop)?),
        _ => Ok(()),
    }
}

impl EventSink for Obedient {
    type Config = Words;

    fn open(words: Words, _: &Opening) -> Result<Self, Error> {
        Ok(Self(words))
    }

    fn begin(&mut self, _: &Context) -> Result<(), Error> {
        obey(self.0.begin.as_deref())
    }

    fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        obey(Some(event.text()?))
    }

    fn flush(&mut self, _: &Context) -> Result<(), Error> {
        obey(self.0.flush.as_deref())
    }
}

fn failure(error: &Error) -> Value {
    let kind = match error.kind() {
        Kind::Transient(_) => "transient",
        Kind::Rejected => "rejected",
        Kind::Unknown => "unknown",
        Kind::Halted => "halted",
    };
    json!({ "kind": kind, "code": error.code() })
}

/// An outcome as the vectors tell it.
fn told(outcome: &Outcome) -> Value {
    if let Some(error) = outcome.failure() {
        return json!({ "failure": failure(error), "refused": [], "stopped_at": null });
    }
    let refused = outcome.refused().into_iter().map(|(event, error)| {
        let mut refused = failure(error);
        refused["event"] = json!(event);
        refused
    });
    json!({ "failure": null, "refused": refused.collect::<Vec<_>>(), "stopped_at": outcome.stopped_at() })
}

#[test]
fn the_event_level_makes_the_report_that_every_language_makes() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let words = json!({ "begin": case["begin"], "flush": case["flush"] });
        let mut sink = Harness::events::<Obedient>(words).unwrap();
        let mut context = testing::context();
        context.ordered = case["ordered"].as_bool().unwrap();
        let events = case["events"].as_array().unwrap().iter().filter_map(Value::as_str);
        let batch = events.fold(testing::batch(), |batch, word| batch.text(word));
        assert_eq!(told(&sink.write_in(&context, batch)), case["expect"], "{}", case["name"]);
    }
}
