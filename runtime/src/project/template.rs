//! What new projects begin with: the files in `guest-sdk/templates`, which are part of the program.

use super::Language;

/// What a project makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A sink that takes one call at a time.
    Sink,
    /// A sink whose calls overlap in one instance.
    AsyncSink,
    /// An encoder for a native sink.
    Encoder,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 3] = [Shape::Sink, Shape::AsyncSink, Shape::Encoder];
}

/// The files of a project.
pub(super) struct Template {
    language: Language,
    shape: Shape,
    /// Where each goes in the project, and what it holds. Both have places for what projects differ in: see [`Template::fill`].
    pub(super) files: &'static [(&'static str, &'static str)],
    /// The command that the README ends with, which shows it at work.
    run: &'static str,
}

/// What a file of a project is filled in with.
#[derive(Debug)]
pub(super) struct Values<'a> {
    /// The project's name.
    pub(super) name: &'a str,
    /// The folder of the SDKs.
    pub(super) sdk: &'a str,
}

/// A file of `guest-sdk/templates`, with its path in a project.
macro_rules! file {
    ($to:literal, $from:literal) => {
        ($to, include_str!(concat!("../../../guest-sdk/templates/", $from)))
    };
}

/// One row for each language and shape.
const TEMPLATES: [Template; 8] = [
    Template {
        language: Language::Rust,
        shape: Shape::Sink,
        files: &[
            file!(".gitignore", "rust/gitignore"),
            file!("Cargo.toml", "rust/Cargo.toml"),
            file!("README.md", "rust/README.md"),
            file!("src/lib.rs", "rust/sink/lib.rs"),
            file!("tests/cases.toml", "cases/sink.toml"),
            file!("tests/tests.rs", "rust/sink/tests.rs"),
        ],
        run: RUN_SINK,
    },
    Template {
        language: Language::Rust,
        shape: Shape::AsyncSink,
        files: &[
            file!(".gitignore", "rust/gitignore"),
            file!("Cargo.toml", "rust/Cargo.toml"),
            file!("README.md", "rust/README.md"),
            file!("src/lib.rs", "rust/async/lib.rs"),
            file!("tests/cases.toml", "cases/async.toml"),
            file!("tests/tests.rs", "rust/async/tests.rs"),
        ],
        run: "echo '{\"id\": 1}' | sump run build/{{name}}.wasm --set url=https://example.com/events \\\n  \
              --allow-http https://example.com",
    },
    Template {
        language: Language::Rust,
        shape: Shape::Encoder,
        files: &[
            file!(".gitignore", "rust/gitignore"),
            file!("Cargo.toml", "rust/Cargo.toml"),
            file!("README.md", "rust/README.md"),
            file!("sump.toml", "encoder.toml"),
            file!("src/lib.rs", "rust/encoder/lib.rs"),
            file!("tests/cases.toml", "cases/encoder.toml"),
            file!("tests/tests.rs", "rust/encoder/tests.rs"),
        ],
        run: RUN_ENCODER,
    },
    Template {
        language: Language::Go,
        shape: Shape::Sink,
        files: &[
            file!(".gitignore", "go/gitignore"),
            file!("README.md", "go/README.md"),
            file!("go.mod", "go/go.mod"),
            file!("main.go", "go/main.go"),
            file!("main_test.go", "go/main_test.go"),
            file!("tests/cases.toml", "cases/sink.toml"),
        ],
        run: RUN_SINK,
    },
    Template {
        language: Language::Python,
        shape: Shape::Sink,
        files: &[
            file!(".gitignore", "python/gitignore"),
            file!("README.md", "python/README.md"),
            file!("pyproject.toml", "python/pyproject.toml"),
            file!("requirements.txt", "python/requirements.txt"),
            file!("{{module}}.py", "python/sink.py"),
            file!("tests/cases.toml", "cases/sink.toml"),
            file!("tests/test_{{module}}.py", "python/test_sink.py"),
        ],
        run: RUN_SINK,
    },
    Template {
        language: Language::TypeScript,
        shape: Shape::Sink,
        files: &[
            file!(".gitignore", "typescript/gitignore"),
            file!("README.md", "typescript/README.md"),
            file!("package.json", "typescript/package.json"),
            file!("tsconfig.json", "typescript/tsconfig.json"),
            file!("src/sink.ts", "typescript/sink.ts"),
            file!("tests/cases.toml", "cases/sink.toml"),
            file!("tests/sink.test.ts", "typescript/sink.test.ts"),
        ],
        run: RUN_SINK,
    },
    Template {
        language: Language::C,
        shape: Shape::Sink,
        files: &[
            file!(".gitignore", "c/gitignore"),
            file!("Makefile", "c/Makefile"),
            file!("README.md", "c/README.md"),
            file!("{{name}}.c", "c/sink.c"),
            file!("{{name}}_test.c", "c/sink_test.c"),
            file!("tests/cases.toml", "cases/sink.toml"),
        ],
        run: RUN_SINK,
    },
    Template {
        language: Language::C,
        shape: Shape::Encoder,
        files: &[
            file!(".gitignore", "c/gitignore"),
            file!("Makefile", "c/Makefile"),
            file!("README.md", "c/README.md"),
            file!("sump.toml", "encoder.toml"),
            file!("{{name}}.c", "c/encoder.c"),
            file!("{{name}}_test.c", "c/encoder_test.c"),
            file!("tests/cases.toml", "cases/encoder.toml"),
        ],
        run: RUN_ENCODER,
    },
];

const RUN_SINK: &str = "echo '{\"id\": 1}' | sump run build/{{name}}.wasm --set prefix=quake";
const RUN_ENCODER: &str = "echo '{\"id\": 1}' | sump run sump.toml";

impl Template {
    /// That of a language and a shape; where there is none, why.
    pub(super) fn of(language: Language, shape: Shape) -> Result<&'static Template, &'static str> {
        let found = TEMPLATES.iter().find(|template| (template.language, template.shape) == (language, shape));
        found.ok_or(match (language, shape) {
            (_, Shape::Encoder) => "its SDK makes no encoders yet: write it in Rust or C",
            (Language::Go, _) => {
                "calls can't overlap in one instance until Go's own runtime can wait within a component: leave `--async` \
                 out, and use `concurrency`, which takes an instance for each call"
            }
            (Language::TypeScript, _) => {
                "its toolchain can't let calls overlap in one instance yet: leave `--async` out; within a call, `process` and \
                 `write` may be `async` as they are, and `concurrency` takes an instance for each call"
            }
            _ => {
                "its SDK lets no calls overlap in one instance yet: leave `--async` out, and use `concurrency`, which takes \
                 an instance for each call"
            }
        })
    }

    /// A path or a text of the template, with what belongs into its places.
    pub(super) fn fill(&self, text: &str, values: &Values<'_>) -> String {
        let text = text.replace("{{run}}", self.run);
        let text = text.replace("{{name}}", values.name).replace("{{module}}", &values.name.replace('-', "_"));
        // The last, because a path may look like a place.
        text.replace("{{sdk}}", values.sdk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Tool;

    const VALUES: Values<'_> = Values { name: "my-sink", sdk: "sdks" };

    #[test]
    fn every_language_has_a_sink_and_a_reason_for_what_it_has_not() {
        for language in Language::ALL {
            assert!(Template::of(language, Shape::Sink).is_ok(), "{language}");
            for reason in Shape::ALL.iter().filter_map(|shape| Template::of(language, *shape).err()) {
                assert!(reason.contains(": "), "{language}: the way out: {reason}");
            }
        }
    }

    #[test]
    fn no_place_is_left_unfilled_and_every_project_explains_and_ignores() {
        for template in &TEMPLATES {
            for (path, text) in template.files {
                for filled in [template.fill(path, &VALUES), template.fill(text, &VALUES)] {
                    assert!(!filled.contains("{{"), "{path}:\n{filled}");
                }
            }
            for needed in ["README.md", ".gitignore", "tests/cases.toml"] {
                assert!(template.files.iter().any(|(path, _)| *path == needed), "{}: {needed}", template.language);
            }
            let (_, readme) = template.files.iter().find(|(path, _)| *path == "README.md").unwrap();
            assert!(template.fill(readme, &VALUES).lines().count() <= 24, "{}: one screen", template.language);
        }
    }

    #[test]
    fn the_tools_that_a_project_installs_are_those_of_the_table() {
        let template = Template::of(Language::Python, Shape::Sink).unwrap();
        let (_, installed) = template.files.iter().find(|(path, _)| *path == "requirements.txt").unwrap();
        let tool = Tool::of(Language::Python).find(|tool| tool.program == "componentize-py").unwrap();
        let line = format!("componentize-py=={}", tool.tested.as_deref().unwrap());
        assert!(installed.lines().any(|given| given == line), "{line}");

        let template = Template::of(Language::TypeScript, Shape::Sink).unwrap();
        let (_, package) = template.files.iter().find(|(path, _)| *path == "package.json").unwrap();
        let tool = Tool::of(Language::TypeScript).find(|tool| tool.install.contains("componentize-js")).unwrap();
        let entry = format!("\"@bytecodealliance/componentize-js\": \"{}\"", tool.tested.as_deref().unwrap());
        assert!(package.contains(&entry), "{entry}");
    }
}
