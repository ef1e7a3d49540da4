//! Events become messages.

use arrow_array::Array;

use super::native::{Message, MessageHeaders};
use super::settings::{Settings, Time, is_topic, partition_of};
use crate::batch::Batch;
use crate::expr::{Missing, Template};
use crate::sink::Failure;

/// Memory for texts that templates give, taken once.
#[derive(Default)]
pub(super) struct Scratch {
    topic: String,
    key: String,
    other: String,
}

impl Scratch {
    /// The message of an event, which must be in the batch. Fails where it lacks what says where it goes.
    pub(super) fn message<'a>(
        &'a mut self,
        settings: &'a Settings,
        batch: &'a Batch,
        row: usize,
    ) -> Result<Message<'a>, Failure> {
        let partition = settings.partition.as_ref().map(|template| self.partition(template, batch, row)).transpose()?;
        let headers = self.headers(settings, batch, row);
        let key = match &settings.key {
            Some(template) => render(template, batch, row, &mut self.key).ok().map(str::as_bytes),
            None => batch.key().filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row)),
        };
        let template = settings.topic.template();
        let topic = match template.constant() {
            Some(topic) => topic,
            None => {
                let topic = render(template, batch, row, &mut self.topic)
                    .map_err(|missing| Failure::rejected("topic", missing.to_string()))?;
                if !is_topic(topic) {
                    return Err(Failure::rejected("topic", format!("`{}` can't be a topic", topic.escape_debug())));
                }
                topic
            }
        };
        let timestamp = match settings.timestamp {
            Time::Event => batch.timestamps()[row],
            Time::Now => 0,
        };
        Ok(Message { topic, key, timestamp, partition, headers })
    }

    fn partition(&mut self, template: &Template, batch: &Batch, row: usize) -> Result<i32, Failure> {
        let text = render(template, batch, row, &mut self.other)
            .map_err(|missing| Failure::rejected("partition", missing.to_string()))?;
        let no_number =
            || Failure::rejected("partition", format!("`{}` is no number of a partition", text.escape_debug()));
        partition_of(text).ok_or_else(no_number)
    }

    /// The event's own, then those that are set.
    fn headers(&mut self, settings: &Settings, batch: &Batch, row: usize) -> Option<MessageHeaders> {
        let own = batch.headers().filter(|headers| headers.of(row).next().is_some());
        if own.is_none() && settings.headers.is_empty() {
            return None;
        }
        let mut headers = MessageHeaders::new();
        for (name, value) in own.into_iter().flat_map(|headers| headers.of(row)) {
            headers.add(name, value);
        }
        for (name, template) in &settings.headers {
            if let Ok(value) = render(template, batch, row, &mut self.other) {
                headers.add(name.as_bytes(), Some(value.as_bytes()));
            }
        }
        Some(headers)
    }
}

fn render<'a>(template: &Template, batch: &Batch, row: usize, text: &'a mut String) -> Result<&'a str, Missing> {
    text.clear();
    template.render(batch, row, text)?;
    Ok(text)
}
