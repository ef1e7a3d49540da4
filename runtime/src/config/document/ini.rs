//! INI becomes a tree of values with their places.
//!
//! Sections are `[source:NAME]`, `[connection:NAME]`, `[pipeline:NAME]` and `[pipeline:NAME:SINK]`; what stands before
//! the first one is the top. A line is `key = value` or `key: value`, and a value ends with its line. Dots in keys
//! reach nested tables. Comments are lines that begin with `#` or `;`.

use std::ops::Range;
use std::sync::Arc;

use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Node, Table, Value};
use crate::config::place::{Place, Text};
use crate::config::suggest;

const FORMS: &str = "sections are `[source:NAME]`, `[pipeline:NAME]`, `[pipeline:NAME:SINK]` and `[connection:NAME]`";

/// Reads a text. What can't be read is reported and left out.
pub(super) fn parse(text: &Arc<Text>, problems: &mut Vec<Diagnostic>) -> Table {
    let mut reader = Reader { text, problems, root: Table::default(), section: Some(Vec::new()) };
    let mut start = 0;
    for line in text.contents().split_inclusive('\n') {
        reader.line(start..start + line.len());
        start += line.len();
    }
    reader.root
}

/// A name and where it stands.
type Name = (String, Place);

struct Reader<'a> {
    text: &'a Arc<Text>,
    problems: &'a mut Vec<Diagnostic>,
    root: Table,
    /// The tables that lead to where keys belong. None under a section that could not be read.
    section: Option<Vec<Name>>,
}

impl Reader<'_> {
    fn line(&mut self, span: Range<usize>) {
        let line = self.trim(span);
        let written = line.excerpt();
        if written.is_empty() || written.starts_with(['#', ';']) {
            return;
        }
        if written.starts_with('[') {
            self.section = self.header(&line);
            return;
        }
        let Some(delimiter) = written.find(['=', ':']) else {
            let help = "write `key = value` on one line, lists with commas; comments begin with `#` or `;`";
            self.report("neither a section nor `key = value`".into(), &line, "not understood", help);
            return;
        };
        let start = line.span().start;
        let key = self.trim(start..start + delimiter);
        let value = self.trim(start + delimiter + 1..line.span().end);
        self.set(&key, value);
    }

    /// The tables that a header such as `[pipeline:NAME:SINK]` stands for, all of which there are afterwards.
    fn header(&mut self, line: &Place) -> Option<Vec<Name>> {
        let Some(end) = line.excerpt().find(']') else {
            self.report("a section without its `]`".into(), line, "not closed", FORMS);
            return None;
        };
        let rest = line.excerpt()[end + 1..].trim_start();
        if !rest.is_empty() && !rest.starts_with(['#', ';']) {
            self.report("text after a section".into(), &line.of(rest), "not understood", "begin a new line");
            return None;
        }
        let start = line.span().start;
        let names = self.split(start + 1..start + end, ':');
        let words: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let path = match words.as_slice() {
            ["source" | "connection" | "pipeline", name] if !name.is_empty() => names,
            ["pipeline", name, sink] if !name.is_empty() && !sink.is_empty() => {
                let place = names[2].1.clone();
                let mut names = names;
                names.insert(2, ("sink".into(), place));
                names
            }
            _ => {
                let near = suggest::near(words.first().unwrap_or(&""), &["source", "pipeline", "connection"]);
                let help = near.map_or_else(|| FORMS.into(), |near| format!("did you mean `{near}`? {FORMS}"));
                let header = Place::new(self.text, start..start + end + 1);
                self.report(format!("unknown section `{}`", header.excerpt()), &header, "not a section", help);
                return None;
            }
        };
        let header = Place::new(self.text, start..start + end + 1);
        let mut table = &mut self.root;
        for (name, place) in &path {
            table = table.table(name, place).ok()?;
        }
        if let Some((last, parents)) = path.split_last() {
            self.mark(parents, last, header);
        }
        Some(path)
    }

    /// The place of a table is the first header that names it.
    fn mark(&mut self, parents: &[Name], (name, _): &Name, header: Place) {
        let mut table = &mut self.root;
        for (parent, place) in parents {
            match table.table(parent, place) {
                Ok(found) => table = found,
                Err(_) => return,
            }
        }
        if let Some(node) = table.get_mut(name)
            && !node.place.excerpt().starts_with('[')
        {
            node.place = header;
        }
    }

    fn set(&mut self, key: &Place, value: Place) {
        let Some(section) = self.section.clone() else { return };
        let path = self.split(key.span(), '.');
        if path.iter().any(|(name, _)| name.is_empty()) {
            let help = "write `key = value`; dots in a key reach nested tables, as in `retry.attempts = 5`";
            self.report("a key without a name".into(), key, "the name is missing", help);
            return;
        }
        let Some(((name, at), parents)) = path.split_last() else { return };
        let mut table = &mut self.root;
        for (parent, place) in section.iter().chain(parents) {
            match table.table(parent, place) {
                Ok(found) => table = found,
                Err(earlier) => return self.duplicate(parent, place, earlier),
            }
        }
        if let Some(earlier) = table.entry(name) {
            let earlier = earlier.at.clone();
            return self.duplicate(name, at, earlier);
        }
        let text = value.excerpt().to_owned();
        table.push(name.as_str(), at.clone(), Node::new(Value::Loose(text), value));
    }

    fn duplicate(&mut self, name: &str, again: &Place, earlier: Place) {
        let error = Diagnostic::error("config::duplicate", format!("`{name}` is set twice"))
            .at(again.clone(), "set again here")
            .at(earlier, "first set here")
            .help("remove one; to change a setting for one machine, put it into a file that is named later");
        self.problems.push(error);
    }

    fn report(&mut self, message: String, place: &Place, label: &str, help: impl Into<String>) {
        self.problems.push(Diagnostic::error("config::ini", message).at(place.clone(), label).help(help));
    }

    fn split(&self, span: Range<usize>, separator: char) -> Vec<Name> {
        let mut names = Vec::new();
        let mut start = span.start;
        for part in Place::new(self.text, span).excerpt().split(separator) {
            let place = self.trim(start..start + part.len());
            names.push((place.excerpt().to_owned(), place));
            start += part.len() + separator.len_utf8();
        }
        names
    }

    /// Without the white space, and the byte order mark, around it.
    fn trim(&self, span: Range<usize>) -> Place {
        let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
        let all = Place::new(self.text, span);
        let without = all.excerpt().trim_start_matches(blank);
        let start = all.span().end - without.len();
        Place::new(self.text, start..start + without.trim_end_matches(blank).len())
    }
}
