//! Shows events to people, on standard output.

mod form;
mod json;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::form::Form;
use super::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use crate::batch::Batch;

/// The settings of a console sink.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What an event looks like.
    pub format: Format,
}

/// What an event looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON over several lines, in colour on a terminal; anything else as text. Key and headers stand before it.
    #[default]
    Pretty,
    /// One JSON object a line: payload, key, headers, time and origin.
    Json,
    /// The payload as it is, and a newline.
    Raw,
    /// One line of `name=value` pairs: time, origin, key, headers, and the fields of a JSON payload.
    Logfmt,
}

/// How much is collected before it is written.
const TOGETHER: usize = 64 << 10;

/// Writes events to standard output: those of a batch together, so that others who write there don't come between.
pub struct Console {
    contract: Contract,
    screen: Arc<Mutex<Screen>>,
}

/// What all instances write to.
struct Screen {
    form: Form,
    text: Vec<u8>,
    output: Box<dyn Write + Send>,
}

impl Console {
    /// On standard output; in colour where that is a terminal, which the caller knows.
    pub fn new(settings: &Settings, colour: bool) -> Console {
        Console::on(io::stdout(), settings, colour)
    }

    /// On another output.
    pub fn on(output: impl Write + Send + 'static, settings: &Settings, colour: bool) -> Console {
        let form = Form { format: settings.format, colour };
        let screen = Screen { form, text: Vec::new(), output: Box::new(output) };
        Console { contract: Contract::default(), screen: Arc::new(Mutex::new(screen)) }
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

#[async_trait]
impl Connect for Console {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Instance(self.screen.clone())))
    }
}

struct Instance(Arc<Mutex<Screen>>);

#[async_trait]
impl Sink for Instance {
    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome, WriteError> {
        let (screen, batch) = (self.0.clone(), batch.clone());
        let show = move || screen.lock().unwrap_or_else(PoisonError::into_inner).show(&batch);
        match tokio::task::spawn_blocking(show).await {
            Ok(Ok(())) => Ok(Outcome::Written),
            Ok(Err(error)) => Err(failure(&error).into()),
            Err(error) => Err(WriteError::Lost(Failure::unknown("console", error.to_string()))),
        }
    }
}

impl Screen {
    fn show(&mut self, batch: &Batch) -> io::Result<()> {
        self.text.clear();
        for row in 0..batch.len() {
            self.form.event(&mut self.text, batch, row);
            if self.text.len() >= TOGETHER {
                self.output.write_all(&self.text)?;
                self.text.clear();
            }
        }
        self.output.write_all(&self.text)?;
        self.output.flush()
    }
}

/// Nobody reads a broken pipe ever again. What was shown in part is shown again.
fn failure(error: &io::Error) -> Failure {
    let message = format!("standard output can't be written: {error}");
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::halted("broken-pipe", message),
        _ => Failure::transient("console", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};
    use crate::sink::FailureKind;
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>, Option<ErrorKind>);

    impl Write for Page {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            match self.1 {
                Some(kind) => Err(kind.into()),
                None => self.0.lock().unwrap().write(text),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn write(page: Page, rows: usize) -> Result<Outcome, WriteError> {
        let mut builder = BatchBuilder::new();
        for _ in 0..rows {
            builder.push(&Partition::from("p"), Event { payload: Some(b"text"), ..Event::default() });
        }
        let context = WriteContext {
            pipeline: "p".into(),
            sink: "s".into(),
            attempt: 1,
            deadline: tokio::time::Instant::now() + Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            ordered: true,
            turn: Default::default(),
            next: None,
        };
        let console = Console::on(page, &Settings { format: Format::Raw }, false);
        console.open(0).await.unwrap().write(&builder.finish().unwrap(), &context).await
    }

    #[tokio::test]
    async fn all_of_a_batch_is_written() {
        let page = Page::default();
        assert_eq!(write(page.clone(), 20_000).await, Ok(Outcome::Written));
        assert_eq!(*page.0.lock().unwrap(), b"text\n".repeat(20_000));
    }

    #[tokio::test]
    async fn a_reader_that_left_halts_and_other_errors_pass() {
        for (kind, expected) in [
            (ErrorKind::BrokenPipe, FailureKind::Halted),
            (ErrorKind::StorageFull, FailureKind::Transient { after: None }),
        ] {
            let error = write(Page(Arc::default(), Some(kind)), 1).await.unwrap_err();
            assert_eq!(error.failure().kind, expected);
        }
    }
}
