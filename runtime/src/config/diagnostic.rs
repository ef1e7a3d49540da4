//! What is wrong, where, and what would be accepted.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};

use crate::config::place::Place;

/// An error or a warning about what was written.
#[derive(Clone)]
pub struct Diagnostic {
    severity: Severity,
    code: &'static str,
    message: String,
    labels: Vec<Label>,
    help: Option<String>,
    /// The labels in other texts than the first one's: a report shows one text at a time.
    elsewhere: Vec<Diagnostic>,
}

/// Something to be seen at a place.
#[derive(Clone, Debug)]
struct Label {
    place: Place,
    text: String,
}

/// How diagnostics are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// On a terminal, in colour.
    Terminal,
    /// In a file or a log: plain characters only.
    Plain,
}

impl Diagnostic {
    /// Nothing starts with it. `code` is a short, stable name such as `config::unknown_key`.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message.into())
    }

    /// It is probably not meant.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Diagnostic {
        Diagnostic { severity, code, message, labels: Vec::new(), help: None, elsewhere: Vec::new() }
    }

    /// Shows a place. The first one is what the diagnostic is about.
    pub fn at(mut self, place: Place, label: impl Into<String>) -> Diagnostic {
        let label = Label { place, text: label.into() };
        match self.labels.first() {
            Some(first) if !first.place.shares_text(&label.place) => {
                let mut other = Diagnostic::new(Severity::Advice, self.code, label.text.clone());
                other.labels.push(label);
                self.elsewhere.push(other);
            }
            _ => self.labels.push(label),
        }
        self
    }

    /// Says what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Whether nothing starts with it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is, if it is in a text.
    pub fn place(&self) -> Option<&Place> {
        self.labels.first().map(|label| &label.place)
    }
}

/// By text and place, those without a place first.
pub(super) fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_cached_key(|diagnostic| {
        diagnostic.place().map(|place| (place.text().name().to_owned(), place.span().start))
    });
}

/// All of them, one after the other, for people.
pub fn render(diagnostics: &[Diagnostic], style: Style) -> String {
    let theme = match style {
        Style::Terminal => GraphicalTheme::unicode(),
        Style::Plain => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_context_lines(0)
        .with_width(110)
        .with_urls(false);
    let mut rendered = String::new();
    for diagnostic in diagnostics {
        // Writing into a string does not fail; a place that can't be shown must not hide the message.
        if handler.render_report(&mut rendered, diagnostic).is_err() {
            rendered.push_str(&diagnostic.to_string());
        }
        rendered.push('\n');
    }
    rendered
}

/// For logs: one line, with the place.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.place() {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place().map(|place| place.text() as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let first = self.place()?.span().start;
        Some(Box::new(self.labels.iter().map(move |label| {
            let span = label.place.span();
            let text = Some(label.text.clone());
            if span.start == first {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        })))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|other| other as &dyn miette::Diagnostic)))
    }
}
