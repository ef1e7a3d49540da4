//! `key` of a pipeline: gives events a key that have none.

use arrow_array::Array;
use arrow_array::builder::BinaryBuilder;

use crate::batch::Uneven;
use crate::envelope::Block;
use crate::expr::Template;

/// What gives keys, if anything does.
#[derive(Debug)]
pub(super) struct Keys(pub(super) Option<Template>);

impl Keys {
    /// The block with keys; none where it stays as it is. An event that lacks what the template needs stays without.
    pub(super) fn give(&self, block: &Block) -> Result<Option<Block>, Uneven> {
        let batch = &block.batch;
        let Some(template) = &self.0 else { return Ok(None) };
        if batch.is_empty() || batch.key().is_some_and(|keys| keys.null_count() == 0) {
            return Ok(None);
        }
        let mut keys = BinaryBuilder::with_capacity(batch.len(), 16 * batch.len());
        let mut text = String::new();
        for row in 0..batch.len() {
            text.clear();
            match batch.key().filter(|keys| keys.is_valid(row)) {
                Some(own) => keys.append_value(own.value(row)),
                None => keys.append_option(template.render(batch, row, &mut text).is_ok().then_some(&text)),
            }
        }
        let batch = batch.clone().with_key(Some(keys.finish()))?;
        Ok(Some(Block { batch, ends: block.ends.clone(), rejects: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn give(template: Option<&str>, events: &[(Option<&str>, &str)]) -> Vec<Option<String>> {
        let mut builder = BatchBuilder::new();
        for (position, (key, payload)) in (0..).zip(events) {
            let (key, payload) = (key.map(str::as_bytes), Some(payload.as_bytes()));
            builder.push(&Partition::from("a"), Event { payload, key, position, ..Event::default() });
        }
        let block = Block { batch: builder.finish().unwrap(), ends: vec![], rejects: None };
        let keyed = Keys(template.map(|text| Template::parse(text).unwrap())).give(&block).unwrap().unwrap_or(block);
        let key = |row| keyed.batch.key().filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row).to_vec());
        (0..events.len()).map(|row| key(row).map(|key| String::from_utf8(key).unwrap())).collect()
    }

    #[test]
    fn events_without_a_key_get_one_and_others_keep_theirs() {
        let events = [(None, r#"{"id":7}"#), (Some("own"), r#"{"id":8}"#), (None, "{}")];
        assert_eq!(give(Some("{event:/id}"), &events), [Some("7".into()), Some("own".into()), None]);
        assert_eq!(give(None, &events), [None, Some("own".into()), None]);
    }
}
