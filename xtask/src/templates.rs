//! What `sump new` makes, as its users do with it: made, tested by its language's runner, built, tried and run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command::{self, root, run};
use crate::languages::{LANGUAGES, environment};
use crate::report::note;
use crate::tools;

/// A kind of project.
struct Kind {
    language: &'static str,
    /// The option that asks for it, if any.
    option: Option<&'static str>,
    /// What `sump run` gets to show it at work, and what has to be said then. A sink that needs a server is not run.
    run: Option<(&'static [&'static str], &'static str)>,
}

const SINK: Option<(&[&str], &str)> = Some((&["build/tried.wasm", "--set", "prefix=quake"], "quake 1"));
const ENCODER: Option<(&[&str], &str)> = Some((&["sump.toml"], r#"{"kind":"quake","id":1}"#));

const KINDS: [Kind; 8] = [
    Kind { language: "rust", option: None, run: SINK },
    Kind { language: "rust", option: Some("--async"), run: None },
    Kind { language: "rust", option: Some("--encoder"), run: ENCODER },
    Kind { language: "go", option: None, run: SINK },
    Kind { language: "python", option: None, run: SINK },
    Kind { language: "typescript", option: None, run: SINK },
    Kind { language: "c", option: None, run: SINK },
    Kind { language: "c", option: Some("--encoder"), run: ENCODER },
];

/// Tries them all. The tools of their languages have to be there, and the program built.
pub(crate) fn try_all(target: &Path) -> Result<()> {
    tools::guest_target()?;
    let all = target.join("tmp/new");
    for kind in &KINDS {
        let folder = all.join(format!("{}{}", kind.language, kind.option.unwrap_or_default()));
        note(format!("{} {}: a new project", kind.language, kind.option.unwrap_or_default()));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let project = Project { kind, target, path: folder.join("tried") };
        project.try_it().with_context(|| format!("in {}", project.path.display()))?;
    }
    Ok(())
}

struct Project<'a> {
    kind: &'a Kind,
    target: &'a Path,
    path: PathBuf,
}

impl Project<'_> {
    fn try_it(&self) -> Result<()> {
        let mut new = self.sump(&["new", "tried", "--lang", self.kind.language])?;
        new.args(self.kind.option).arg("--sdk").arg(root().join("guest-sdk"));
        run(new.current_dir(self.path.parent().context("no folder")?))?;
        self.provide()?;
        for mut test in self.tests()? {
            run(test.env("CARGO_TARGET_DIR", self.cargo_target()))?;
        }
        run(&mut self.sump(&["build"])?)?;
        run(&mut self.sump(self.trial())?)?;
        self.kind.run.map_or(Ok(()), |(arguments, said)| self.show(arguments, said))
    }

    /// What its users fetch once is here already: the same versions of crates, and Node's packages.
    fn provide(&self) -> Result<()> {
        let (from, to) = match self.kind.language {
            "rust" => (root().join("Cargo.lock"), self.path.join("Cargo.lock")),
            "typescript" => (root().join("node_modules"), self.path.join("node_modules")),
            _ => return Ok(()),
        };
        let provided =
            if from.is_dir() { std::os::unix::fs::symlink(&from, &to) } else { fs::copy(&from, &to).map(drop) };
        provided.with_context(|| format!("cannot provide {}", to.display()))
    }

    /// The commands that test it natively.
    fn tests(&self) -> Result<Vec<Command>> {
        if self.kind.language == "rust" {
            let mut test = command::cargo(&["test", "--quiet"]);
            test.current_dir(&self.path);
            return Ok(vec![test]);
        }
        let language = LANGUAGES.iter().find(|language| language.name == self.kind.language);
        Ok((language.context("a language without tests")?.tests)(&self.path))
    }

    /// Where making a component takes long, the one that is there is tried, and not one that is built for it.
    fn trial(&self) -> &'static [&'static str] {
        if matches!(self.kind.language, "python" | "typescript") { &["test", "build/tried.wasm"] } else { &["test"] }
    }

    /// Runs it over one event.
    fn show(&self, arguments: &[&str], said: &str) -> Result<()> {
        let mut shown = self.sump(&["run", "--strict", "--data-dir", "data"])?;
        shown.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shown = shown.spawn().context("cannot start `sump run`")?;
        // Closed behind the one event: the run ends there.
        shown.stdin.take().context("no standard input")?.write_all(b"{\"id\": 1}\n")?;
        let ended = shown.wait_with_output().context("`sump run` can't be waited for")?;
        let everything = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(
            ended.status.success() && everything.contains(said),
            "`{said}` is not in what `sump run` said:\n{everything}"
        );
        Ok(())
    }

    /// The program, in the project's folder.
    fn sump(&self, arguments: &[&str]) -> Result<Command> {
        let mut sump = command::command(self.target.join("debug/sump"), arguments);
        sump.current_dir(&self.path).envs(environment()?).env("XDG_CACHE_HOME", self.target.join("tmp/cache"));
        sump.env("CARGO_TARGET_DIR", self.cargo_target());
        Ok(sump)
    }

    /// What projects in Rust compile is shared by them, and is there the next time.
    fn cargo_target(&self) -> PathBuf {
        self.target.join("tmp/new/target")
    }
}
