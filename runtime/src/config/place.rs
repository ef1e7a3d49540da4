//! Where something was written: a span of a file, or of the command line.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{MietteError, NamedSource, SourceCode, SourceSpan, SpanContents};

/// A text that configuration is read from.
pub struct Text(NamedSource<String>);

impl Text {
    /// `name` is what people know it by, such as the path of a file.
    pub fn new(name: impl AsRef<str>, contents: String) -> Arc<Text> {
        Arc::new(Text(NamedSource::new(name, contents)))
    }

    /// What people know it by.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// All of it.
    pub fn contents(&self) -> &str {
        self.0.inner()
    }
}

/// Shows whole lines.
impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.contents();
        let (start, end) = (span.offset(), span.offset() + span.len());
        let line_start = contents.get(..start).and_then(|head| head.rfind('\n')).map_or(0, |newline| newline + 1);
        let line_end = contents.get(end..).and_then(|tail| tail.find('\n')).map_or(contents.len(), |more| end + more);
        self.0.read_span(&SourceSpan::from(line_start..line_end), before, after)
    }
}

/// A span of a [`Text`].
#[derive(Clone)]
pub struct Place {
    text: Arc<Text>,
    span: Range<usize>,
}

impl Place {
    /// `span` is in bytes; what lies beyond the end of the text is cut off.
    pub fn new(text: &Arc<Text>, span: Range<usize>) -> Place {
        let end = span.end.min(text.contents().len());
        Place { text: Arc::clone(text), span: span.start.min(end)..end }
    }

    /// The text that it is a part of.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// In bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What stands there.
    pub fn excerpt(&self) -> &str {
        self.text.contents().get(self.span()).unwrap_or_default()
    }

    /// The first place within this one where `part` stands; all of it where it can't be found, because it is escaped.
    pub fn of(&self, part: &str) -> Place {
        match self.excerpt().find(part) {
            Some(at) => {
                let start = self.span.start + at;
                Place { text: Arc::clone(&self.text), span: start..start + part.len() }
            }
            None => self.clone(),
        }
    }

    /// What follows its first `offset` bytes.
    pub fn tail(&self, offset: usize) -> Place {
        Place { text: Arc::clone(&self.text), span: (self.span.start + offset).min(self.span.end)..self.span.end }
    }

    /// The byte at `offset` of what a string literal or plain text stands for, where nothing in it is escaped; all of
    /// it otherwise.
    pub fn at(&self, value: &str, offset: usize) -> Place {
        let Some(begin) = self.excerpt().find(value) else { return self.clone() };
        let width = value.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let start = self.span.start + begin + offset.min(value.len());
        Place { text: Arc::clone(&self.text), span: start..start + width }
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.text.contents().get(..self.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }

    /// Whether both are parts of the same text.
    pub fn shares_text(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (line, column) = self.line_and_column();
        write!(f, "{}:{line}:{column}", self.text.name())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_characters() {
        let text = Text::new("a.toml", "x = 1\n\"é\" = ${Y}\n".into());
        assert_eq!(Place::new(&text, 0..1).to_string(), "a.toml:1:1");
        let value = Place::new(&text, 13..17);
        assert_eq!((value.excerpt(), value.to_string().as_str()), ("${Y}", "a.toml:2:7"));
        assert_eq!(value.of("Y").to_string(), "a.toml:2:9");
        assert_eq!(value.of("Z").span(), value.span());
        assert_eq!(value.at("{Y}", 1).excerpt(), "Y");
        assert_eq!(Place::new(&text, 90..95).excerpt(), "");
    }
}
