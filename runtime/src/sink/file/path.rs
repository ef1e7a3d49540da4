//! Which file an event goes to.

use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::batch::Batch;
use crate::expr::Template;
use crate::sink::Failure;

/// A path, perhaps with places that an event fills, such as `archive/{time:%Y-%m-%d}.ndjson`.
///
/// Its root is the folder before the first such place. What an event fills in can make folders below it, and can't
/// leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PathTemplate {
    template: Template,
    #[serde(skip)]
    root: String,
}

impl PathTemplate {
    /// Reads a path. The error says what would be accepted.
    pub fn new(text: &str) -> Result<PathTemplate, String> {
        let template = Template::parse(text).map_err(|error| match error.column(text) {
            Some(column) => format!("{error} (column {column})"),
            None => error.to_string(),
        })?;
        if text.is_empty() || text.ends_with('/') || text.contains('\0') {
            return Err(format!("`{text}` does not name a file: write a path such as `out/events.ndjson`"));
        }
        let fixed = fixed(text);
        let root = fixed.rfind('/').map_or(String::new(), |slash| fixed[..=slash].to_owned());
        Ok(PathTemplate { template, root })
    }

    /// The one path that all events go to, if there is one.
    pub fn constant(&self) -> Option<&str> {
        self.template.constant()
    }

    /// The folder that no event leaves, with a slash at its end; empty for the working directory.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where what an exactly-once sink goes on by is kept: beside its files, under a name of its own.
    pub(super) fn checkpoint(&self) -> PathBuf {
        let text = self.template.to_string();
        let rest = text.strip_prefix(&*self.root).unwrap_or(&text).replace('/', "-");
        Path::new(&self.root).join(format!(".{rest}.checkpoint"))
    }

    /// Puts the path for one event into `path`. The event must be in the batch.
    ///
    /// Fails, for this event alone, where it lacks something or would leave the root.
    pub(super) fn of(&self, batch: &Batch, row: usize, path: &mut String) -> Result<(), Failure> {
        path.clear();
        let missing = |error: crate::expr::Missing| Failure::rejected("path", error.to_string());
        self.template.render(batch, row, path).map_err(missing)?;
        let filled = path.strip_prefix(&*self.root).unwrap_or("");
        let own = filled.starts_with('.') && filled.trim_end_matches(".new").ends_with(".checkpoint");
        if own || filled.contains('\0') || filled.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Failure::rejected(
                "path",
                format!("`{}` is no path to a file below its root", path.escape_debug()),
            ));
        }
        Ok(())
    }
}

/// The text before the first place that an event fills.
fn fixed(text: &str) -> String {
    let (mut fixed, mut rest) = (String::new(), text);
    while let Some(brace) = rest.find(['{', '}']) {
        fixed.push_str(&rest[..brace]);
        let Some(after) = rest[brace..].strip_prefix("{{").or_else(|| rest[brace..].strip_prefix("}}")) else {
            return fixed;
        };
        fixed.push_str(&rest[brace..=brace]);
        rest = after;
    }
    fixed + rest
}

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PathTemplate, D::Error> {
        PathTemplate::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn of(template: &str, key: &str) -> Result<String, Failure> {
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("p"), Event { key: Some(key.as_bytes()), ..Event::default() });
        let mut path = String::new();
        PathTemplate::new(template).unwrap().of(&builder.finish().unwrap(), 0, &mut path).map(|()| path)
    }

    #[test]
    fn the_root_is_the_folder_before_the_first_place() {
        for (template, root) in [("a/b-{key}/c", "a/"), ("/{key}", "/"), ("{key}", ""), ("a/{{b}}/{key}", "a/{b}/")] {
            assert_eq!(PathTemplate::new(template).unwrap().root(), root);
        }
        assert_eq!(PathTemplate::new("../a/{{x}}.log").unwrap().constant(), Some("../a/{x}.log"));
    }

    #[test]
    fn an_event_can_make_folders_and_not_leave_the_root() {
        assert_eq!(of("../out/{key}.log", "a/b").unwrap(), "../out/a/b.log");
        assert_eq!(of("out/{key}", "..b").unwrap(), "out/..b");
        for key in ["../x", "a/../../x", "..", "/etc/passwd", "", "a//b", "./a", "a\0b", "a/"] {
            let failure = of("out/{key}", key).unwrap_err();
            assert_eq!((failure.kind.name(), &*failure.code), ("rejected", "path"), "{key}");
        }
        assert!(of("out/{header:x}", "k").unwrap_err().message.contains("no header `x`"));
    }
}
