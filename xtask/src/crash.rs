//! `cargo xtask crash`: kills the program again and again over one input, and counts what that cost.

mod case;
mod input;
mod tally;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{self, cargo, metadata, target_folder};
use crate::guests;
use crate::report::{heading, note};
use case::{CASES, Case};
use input::{Input, Saved};
use tally::Tally;

/// What was asked for.
pub(crate) struct Options {
    /// Kills in each case.
    pub(crate) rounds: u32,
    /// What the moments are drawn from; by default, the time.
    pub(crate) seed: Option<u64>,
    /// The cases to run; none means all.
    pub(crate) only: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Options {
        Options { rounds: 300, seed: None, only: Vec::new() }
    }
}

/// A kill comes at most so long after the start.
const LATEST: u64 = 300;

/// The last run, over what is left, takes no longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The name of a case, checked.
pub(crate) fn case_named(name: &str) -> Result<&'static str> {
    match CASES.iter().find(|case| case.name == name) {
        Some(case) => Ok(case.name),
        None => bail!("there is no case `{name}`: it is one of {}", names().join(", ")),
    }
}

/// The names of the cases.
pub(crate) fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// Runs the cases, and fails where an event was lost, came too often, or out of order.
pub(crate) fn run(options: &Options) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = options.seed.unwrap_or(now);
    heading("crash", &format!("{} kills a case, from --seed {seed}", options.rounds));
    // With a test beside it the program is the one that tests run: alone, its libraries would have other features, and
    // nearly all of them would be compiled once more.
    command::run(&mut cargo(&["build", "--package", "sump", "--bin", "sump", "--test", "cli"]))?;
    let workspace = metadata()?;
    let target = target_folder(&workspace)?;
    let sump = target.join("debug/sump");
    let guests = match std::env::var_os(guests::FOLDER_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => guests::build()?.folder,
    };
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for case in CASES.iter().filter(|case| options.only.is_empty() || options.only.contains(&case.name)) {
        let folder = target.join("crash").join(case.name);
        let mut trial = Trial::new(case, &sump, &guests, folder, seed)?;
        if !trial.is_understood()? {
            note(format!("{}: not run, because this program does not understand its configuration", case.name));
            continue;
        }
        while trial.kills < options.rounds {
            trial.round()?;
        }
        trial.finish()?;
        if trial.tally.problems.is_empty() {
            fs::remove_dir_all(&trial.folder)?;
        }
        rows.push(trial.row());
        problems.extend(trial.tally.problems.iter().map(|problem| format!("{}: {problem}", case.name)));
    }
    table(&rows);
    ensure!(problems.is_empty(), "from --seed {seed}:\n  {}", problems.join("\n  "));
    Ok(())
}

fn table(rows: &[[String; 8]]) {
    note("| case | kills | starts | events | lost | twice | at most | s |");
    note("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        note(format!("| {} |", row.join(" | ")));
    }
}

/// One case, from its first start to its end.
struct Trial<'a> {
    case: &'a Case,
    sump: &'a Path,
    folder: PathBuf,
    config: PathBuf,
    input: Input,
    tally: Tally,
    random: u64,
    kills: u32,
    starts: u32,
    began: Instant,
}

impl<'a> Trial<'a> {
    fn new(case: &'a Case, sump: &'a Path, guests: &Path, folder: PathBuf, seed: u64) -> Result<Trial<'a>> {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("{} can't be emptied", folder.display()))?;
        }
        fs::create_dir_all(folder.join("out"))?;
        let config = folder.join("sump.toml");
        let input = Input::create(folder.join("in.ndjson"), case.events, case.rotated)?;
        fs::write(&config, case.configuration(&folder, guests, input.path()))?;
        let tally = Tally::new(folder.join("out").join(case.output), case.rotated);
        let began = Instant::now();
        Ok(Trial { case, sump, folder, config, input, tally, random: seed, kills: 0, starts: 0, began })
    }

    fn command(&self, task: &str) -> Result<std::process::Command> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not text");
        let mut command = command::command(self.sump, &[task, &text(&self.config)?]);
        if task == "run" {
            command.args(["--data-dir", &text(&self.folder.join("data"))?]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    fn is_understood(&self) -> Result<bool> {
        Ok(self.command("check")?.stderr(Stdio::null()).status()?.success())
    }

    /// One start and one kill; and what there is then is looked at.
    fn round(&mut self) -> Result<()> {
        let moment = Duration::from_millis(self.draw(LATEST + 1));
        let mut child = self.command("run")?.spawn()?;
        let ended = ended(&mut child)?;
        let (input, more) = (&mut self.input, if self.case.rotated > 0 { self.case.events } else { 0 });
        // What is followed is written meanwhile, as fast as that goes, and goes on to be after the kill.
        let waited = std::thread::scope(|scope| {
            let writing = scope.spawn(|| input.append(more));
            let waited = ended.recv_timeout(moment);
            if waited == Err(RecvTimeoutError::Timeout) {
                child.kill()?;
            }
            writing.join().map_err(|_| anyhow::anyhow!("the writer broke down"))??;
            anyhow::Ok(waited)
        })?;
        match waited {
            Err(RecvTimeoutError::Timeout) => {
                child.wait()?;
                self.kills += 1;
            }
            // It has read everything: there has to be more.
            ended => {
                let status = child.wait()?;
                ensure!(status.success(), "{}: ended by itself: {}", self.case.name, ended.unwrap_or_default());
                self.input.append(self.case.events)?;
            }
        }
        self.starts += 1;
        if self.case.once {
            return Ok(());
        }
        let saved = self.saved()?;
        self.tally.look(&saved, self.input.events(), self.case.buffered)?;
        self.input.remove(&saved)
    }

    /// The last run, to the end.
    fn finish(&mut self) -> Result<()> {
        let mut child = self.command("run")?.spawn()?;
        if self.case.rotated > 0 {
            let began = Instant::now();
            while !self.tally.has_all(self.input.events())? && began.elapsed() < PATIENCE {
                #[expect(clippy::disallowed_methods, reason = "another process gives no sign but what it does")]
                std::thread::sleep(Duration::from_millis(50));
            }
            child.kill()?;
            child.wait()?;
            return self.tally.finish(self.input.events());
        }
        let said = match ended(&mut child)?.recv_timeout(PATIENCE) {
            Ok(said) => said,
            Err(_) => {
                child.kill()?;
                String::from("it did not end")
            }
        };
        let status = child.wait()?;
        ensure!(status.success(), "{}: the last run: {status}: {said}", self.case.name);
        self.tally.finish(self.input.events())
    }

    /// What was saved.
    fn saved(&self) -> Result<Saved> {
        let path = self.folder.join("data/positions.json");
        let saved: serde_json::Value = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is torn", path.display()))?,
            Err(_) => serde_json::Value::Null,
        };
        let source = &saved["sources"]["in"];
        Ok(self.input.saved(source, &source["pipelines"]["p"]["out"]))
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % below
    }

    fn row(&self) -> [String; 8] {
        [
            self.case.name.to_owned(),
            self.kills.to_string(),
            self.starts.to_string(),
            self.input.events().to_string(),
            self.tally.lost.to_string(),
            self.tally.twice.to_string(),
            self.tally.allowed.to_string(),
            format!("{:.0}", self.began.elapsed().as_secs_f64()),
        ]
    }
}

/// Hears what a program said once it has ended.
fn ended(child: &mut Child) -> Result<Receiver<String>> {
    let mut said = child.stderr.take().context("its standard error is piped")?;
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What can't be read was not said.
        drop(said.read_to_end(&mut text));
        drop(send.send(String::from_utf8_lossy(&text).into_owned()));
    });
    Ok(ended)
}
