//! Answers of bulk APIs, which say what became of each event.

use arrow_array::Array;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, BatchBuilder, Event, Partition, RowSet};
use crate::expr::{self, Condition, Template};
use crate::sink::outcome::Refusals;
use crate::sink::{Failure, Refusal};
use crate::units::{self, text};

/// `results`: where an answer has an item for each event, in their order, and what an item means. In conditions and
/// templates `event` is the item.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// A JSON pointer to the list of items; empty, where the answer is the list.
    pub items: String,
    /// Holds for the item of an event that is written.
    pub written: Condition,
    /// Holds for that of one worth trying again. Any other is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transient: Option<Condition>,
    /// The code of an event that is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Template>,
    /// And the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
    /// The most bytes of an answer.
    #[serde(default = "usual_size", with = "units::size")]
    pub max_bytes: u64,
}

fn usual_size() -> u64 {
    32 << 20
}

/// The longest message about one event.
const MOST: usize = 300;

impl Results {
    /// What an answer says about the events that were sent, all of a batch but the tombstones and those that are
    /// refused already. Fails where it does not have an item for each.
    pub(super) fn of(&self, answer: &[u8], batch: &Batch, refused: Vec<Refusal>) -> Result<Vec<Refusal>, Failure> {
        let sent = sent(batch, &refused);
        let bad = |what: String| Failure::unknown("bad-report", what);
        let items = expr::elements(answer, &self.items)
            .ok_or_else(|| bad(format!("the answer has no list at `{}`", self.items)))?;
        if items.len() != sent.len() {
            return Err(bad(format!("the answer has {} items for {} events", items.len(), sent.len())));
        }
        let items = batch_of(&items).map_err(|error| bad(error.to_string()))?;
        let failed = self.written.evaluate(&items).holds.complement(items.len());
        if failed.is_empty() {
            return Ok(refused);
        }
        let transient = self.transient.as_ref().map(|transient| transient.evaluate(&items).holds).unwrap_or_default();
        let (rows, mut refusals) = (sent.iter().collect::<Vec<u32>>(), Refusals::default());
        for (items_of, kind) in [
            (failed.without(&transient), Failure::rejected as fn(String, String) -> Failure),
            (failed.intersection(&transient), Failure::transient),
        ] {
            for item in items_of.iter() {
                refusals.add(rows[item as usize], self.failure(&items, item as usize, kind));
            }
        }
        Ok(refused.into_iter().chain(refusals.finish()).collect())
    }

    fn failure(&self, items: &Batch, item: usize, kind: fn(String, String) -> Failure) -> Failure {
        let rendered = |template: &Option<Template>| {
            let mut text = String::new();
            let template = template.as_ref()?;
            template.render(items, item, &mut text).ok().map(|()| text)
        };
        let code = rendered(&self.code).map_or_else(|| "item".to_owned(), |code| text::code(&code));
        let message = rendered(&self.message).unwrap_or_else(|| {
            let item = items.payload().value(item);
            String::from_utf8_lossy(&item[..item.len().min(MOST)]).into_owned()
        });
        kind(code, text::clean(&message, MOST))
    }
}

/// The rows that a body has.
fn sent(batch: &Batch, refused: &[Refusal]) -> RowSet {
    let payload = batch.payload();
    let sent = match payload.nulls() {
        Some(nulls) => RowSet::from_mask(nulls.inner()),
        None => RowSet::all(batch.len()),
    };
    refused.iter().fold(sent, |sent, refusal| sent.without(&refusal.rows))
}

/// Items as the payloads of events, for conditions and templates to read.
fn batch_of(items: &[&[u8]]) -> Result<Batch, arrow_schema::ArrowError> {
    let (mut builder, partition) = (BatchBuilder::new(), Partition::from("answer"));
    for (position, item) in (0..).zip(items) {
        builder.push(&partition, Event { payload: Some(item), position, ..Event::default() });
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELASTIC: &str = r#"
        items = "/items"
        written = "event.create.status < 300 || event.create.status == 409"
        transient = "event.create.status == 429 || event.create.status >= 500"
        code = "{event:/create/error/type}"
        message = "{event:/create/error/reason}"
        "#;

    fn batch(payloads: &[Option<&str>]) -> Batch {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            let payload = payload.map(str::as_bytes);
            builder.push(&Partition::from("p"), Event { payload, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    fn told(settings: &str, answer: &str, batch: &Batch, refused: &[u32]) -> Result<Vec<(Vec<u32>, String)>, String> {
        let results: Results = toml::from_str(settings).unwrap();
        let refused = match refused {
            [] => vec![],
            rows => vec![Refusal { rows: RowSet::from_rows(rows.to_vec()), failure: Failure::rejected("json", "no") }],
        };
        let told = results.of(answer.as_bytes(), batch, refused);
        let one = |refusal: Refusal| (refusal.rows.iter().collect(), refusal.failure.to_string());
        told.map(|told| told.into_iter().map(one).collect()).map_err(|failure| failure.to_string())
    }

    fn item(status: u16) -> String {
        match status {
            200..300 => format!(r#"{{"create":{{"_id":"1","status":{status}}}}}"#),
            _ => format!(r#"{{"create":{{"status":{status},"error":{{"type":"t_{status}","reason":"because"}}}}}}"#),
        }
    }

    fn answer(statuses: &[u16]) -> String {
        let items: Vec<String> = statuses.iter().copied().map(item).collect();
        format!(r#"{{"took":30,"errors":true,"items":[{}]}}"#, items.join(","))
    }

    #[test]
    fn each_event_has_the_outcome_of_its_item() {
        let batch = batch(&[Some("0"), None, Some("2"), Some("3"), Some("4"), Some("5"), Some("6")]);
        let all = vec![
            (vec![3], "rejected (json): no".to_owned()),
            (vec![4], "rejected (t_400): because".to_owned()),
            (vec![2, 6], "transient (t_429): because".to_owned()),
        ];
        assert_eq!(told(ELASTIC, &answer(&[201, 429, 400, 409, 429]), &batch, &[3]), Ok(all));
        assert_eq!(told(ELASTIC, &answer(&[201; 6]), &batch, &[]), Ok(vec![]));
    }

    #[test]
    fn an_answer_without_an_item_for_each_event_is_not_believed() {
        let batch = batch(&[Some("0"), Some("1")]);
        for (answer, what) in [
            (answer(&[201]), "1 items for 2 events"),
            (answer(&[201, 201, 201]), "3 items for 2 events"),
            ("{}".into(), "no list at `/items`"),
            ("".into(), "no list at `/items`"),
            (r#"{"items":{}}"#.into(), "no list at `/items`"),
            (r#"{"items":[{"create":{"status":201}},"#.into(), "no list at `/items`"),
        ] {
            let told = told(ELASTIC, &answer, &batch, &[]).unwrap_err();
            assert!(told.starts_with("unknown (bad-report)") && told.contains(what), "{answer}: {told}");
        }
    }

    #[test]
    fn an_item_that_says_nothing_is_rejected_and_shown() {
        let batch = batch(&[Some("0"), Some("1")]);
        let told =
            told("items = ''\nwritten = 'event.ok == true'", r#"[{"ok":true}, {"error": "a\u0007b"} ]"#, &batch, &[]);
        assert_eq!(told, Ok(vec![(vec![1], r#"rejected (item): {"error": "a\u0007b"}"#.to_owned())]));
    }
}
