//! TOML files that configure no pipelines, read as those that do: every mistake at once, each with its place.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::de::{Subject, read};
use crate::config::diagnostic::{self, Diagnostic};
use crate::config::document::{Document, Node, Table, Value};
use crate::config::place::{Place, Text};

/// The text of a file, which is UTF-8.
pub fn text_of(path: &Path) -> Result<Arc<Text>, Diagnostic> {
    let problem = |what: String| Diagnostic::error("config::file", format!("`{}` {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| problem(format!("can't be read: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(contents) => Ok(Text::new(path.to_string_lossy(), contents)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(problem(format!("is not UTF-8 text: byte {at} is not")).help("save it in UTF-8"))
        }
    }
}

/// Reads all of a text in TOML. `name` is what it is called in messages. References are not resolved.
pub fn read_toml<T: DeserializeOwned>(text: &Arc<Text>, name: &str) -> Result<T, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let root = Document::parse(text, &mut problems);
    let incomplete = !problems.is_empty();
    let root = Node::table(root, Place::new(text, 0..0));
    let value = read(&root, &Subject { name, also: &[], incomplete }, &mut problems);
    diagnostic::sort(&mut problems);
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

/// Where the items of a list stand that a text in TOML has under this key.
pub fn places_of(text: &Arc<Text>, key: &str) -> Vec<Place> {
    let root: Table = Document::parse(text, &mut Vec::new());
    match root.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().map(|item| item.place.clone()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::{Style, render};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        item: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let text = Text::new("a.toml", "[[item]]\nname = 1\n[[item]]\nnam = \"b\"\n[[item]]\nname = \"${X}\"\n".into());
        let told = render(&read_toml::<File>(&text, "a list of items").unwrap_err(), Style::Plain);
        for part in ["a.toml:2:8", "does not take `1`", "a.toml:4:1", "unknown key `nam`", "`item[1].name` is missing"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        let text = Text::new("a.toml", "[[item]]\nname = \"${X}\"\n\n[[item]]\nname = \"\"\n".into());
        assert_eq!(read_toml::<File>(&text, "a list of items").unwrap().item[0].name, "${X}");
        let lines: Vec<usize> = places_of(&text, "item").iter().map(|place| place.line_and_column().0).collect();
        assert_eq!(lines, [1, 4]);
    }
}
