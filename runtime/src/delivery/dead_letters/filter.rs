//! Which dead letters are meant.

use arrow_schema::ArrowError;

use super::letter::batch_of;
use super::scan::Found;
use crate::expr::Condition;

/// What a dead letter must be to be selected. What is left empty selects all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these pipelines.
    pub pipelines: Vec<String>,
    /// One of these sinks.
    pub sinks: Vec<String>,
    /// One of these codes.
    pub codes: Vec<String>,
    /// One of these kinds.
    pub kinds: Vec<String>,
    /// Given up then or later, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Given up before then, in milliseconds since the Unix epoch.
    pub until: Option<u64>,
    /// The condition holds for its event.
    pub condition: Option<Condition>,
    /// Its payload is all of the event.
    pub whole: bool,
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_all(&self) -> bool {
        let Filter { pipelines, sinks, codes, kinds, since, until, condition, whole } = self;
        [pipelines, sinks, codes, kinds].iter().all(|names| names.is_empty())
            && since.or(*until).is_none()
            && condition.is_none()
            && !whole
    }

    /// Those of some letters that are selected. Counts those on which the condition fails, which are not.
    pub(super) fn select(&self, mut found: Vec<Found>, unevaluated: &mut u64) -> Result<Vec<Found>, ArrowError> {
        found.retain(|found| self.holds(found));
        let Some(condition) = self.condition.as_ref().filter(|_| !found.is_empty()) else { return Ok(found) };
        let verdicts = condition.evaluate(&batch_of(found.iter().map(|found| &found.letter))?);
        *unevaluated += verdicts.failed.len() as u64;
        let mask = verdicts.holds.mask(found.len());
        let mut row = 0;
        found.retain(|_| {
            row += 1;
            mask.value(row - 1)
        });
        Ok(found)
    }

    fn holds(&self, found: &Found) -> bool {
        let letter = &found.letter;
        let among = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        among(&self.pipelines, &letter.pipeline)
            && among(&self.sinks, &letter.sink)
            && among(&self.codes, &letter.code)
            && among(&self.kinds, &letter.kind)
            && self.since.is_none_or(|since| letter.time >= since)
            && self.until.is_none_or(|until| letter.time < until)
            && (!self.whole || letter.is_whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Letter;

    fn found(sink: &str, code: &str, time: u64, payload: &str) -> Found {
        let letter = serde_json::json!({
            "pipeline": "p", "sink": sink, "kind": "rejected", "code": code, "message": "", "attempts": 1, "time": time,
            "partition": "f@1", "position": 7, "timestamp": 3, "key": "k", "headers": [["h", "v"]], "payload": payload,
        });
        let letter = Letter::parse(letter.to_string().as_bytes()).unwrap();
        Found { segment: 1, bytes: 0..1, done: false, letter }
    }

    #[track_caller]
    fn selects(filter: Filter, times: &[u64]) -> u64 {
        let letters = vec![
            found("a", "bad", 10, r#"{"mag": 5}"#),
            found("b", "bad", 20, r#"{"mag": 3}"#),
            found("a", "worse", 30, "no JSON"),
        ];
        let mut unevaluated = 0;
        let selected = filter.select(letters, &mut unevaluated).unwrap();
        assert_eq!(selected.iter().map(|found| found.letter.time).collect::<Vec<_>>(), times);
        unevaluated
    }

    #[test]
    fn each_part_of_a_filter_narrows_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let where_ = |text| Some(Condition::parse(text).unwrap());
        selects(Filter::default(), &[10, 20, 30]);
        selects(Filter { sinks: names(&["a"]), ..Filter::default() }, &[10, 30]);
        selects(Filter { sinks: names(&["a"]), codes: names(&["bad", "worse"]), ..Filter::default() }, &[10, 30]);
        selects(Filter { codes: names(&["bad"]), ..Filter::default() }, &[10, 20]);
        selects(Filter { pipelines: names(&["q"]), ..Filter::default() }, &[]);
        selects(Filter { kinds: names(&["unknown"]), ..Filter::default() }, &[]);
        selects(Filter { since: Some(20), ..Filter::default() }, &[20, 30]);
        selects(Filter { since: Some(10), until: Some(20), ..Filter::default() }, &[10]);
        assert_eq!(selects(Filter { condition: where_("event.mag > 4"), ..Filter::default() }, &[10]), 1);
        selects(Filter { condition: where_("key == 'k' && headers['h'] == 'v'"), ..Filter::default() }, &[10, 20, 30]);
        selects(Filter { condition: where_("partition == 'f@1' && raw == 'no JSON'"), ..Filter::default() }, &[30]);
    }
}
