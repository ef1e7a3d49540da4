//! A
use sump_sdk::{Context, Error, Event, EventSink, Opening};
/// G
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub struct Greeter {
    greeting: String,
}
impl EventSink for Greeter {
    type Config = Self;
    fn open(config: Self, _: &Opening) -> Result<Self, Error> { Ok(config) }
    fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        println!("{}, {}", self.greeting, event.text()?);
        Ok(())
    }
}
sump_sdk::event_sink!(Greeter);
