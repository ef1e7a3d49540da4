//! A directory to run `sump` in, and what became of the run.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The quakes of the demo, 1,707 lines.
pub(crate) const QUAKES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/earthquakes.ndjson");

/// How long anything may take before a test gives up. Nothing should come near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary directory: the working directory, the home and the state of every run in it.
pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir(TempDir::new().unwrap())
    }

    /// With a configuration in `sump.toml`.
    pub(crate) fn with(config: &str) -> Dir {
        let dir = Dir::new();
        dir.write("sump.toml", config);
        dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn append(&self, name: &str, contents: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(name)).unwrap();
        file.write_all(contents.as_bytes()).unwrap();
    }

    /// What is in a file; nothing, if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// How long a file is; 0, if there is none.
    pub(crate) fn length(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// All dead letters, in the order in which they were written.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path("data/dead_letters")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut segments: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "ndjson")).collect();
        segments.sort();
        let lines = |path: &PathBuf| fs::read_to_string(path).unwrap();
        let text: String = segments.iter().map(lines).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The values of one field of all dead letters.
    pub(crate) fn dead(&self, field: &str) -> Vec<String> {
        let text = |letter: &Value| letter[field].as_str().map_or_else(|| letter[field].to_string(), str::to_owned);
        self.dead_letters().iter().map(text).collect()
    }

    /// `sump` with arguments, and nothing on its standard input.
    pub(crate) fn sump<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, args: I) -> Sump {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
        command.args(args).current_dir(self.0.path()).env_clear();
        // Compiled components are the same for all tests, and compiling them is what takes time.
        command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        command.env("HOME", self.path("home")).env("XDG_STATE_HOME", self.path("state"));
        Sump { command, input: Some(Vec::new()) }
    }

    /// `sump run --data-dir data` with more arguments.
    pub(crate) fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Sump {
        self.sump(["run", "--data-dir", "data"].into_iter().chain(args))
    }

    /// The same, started by a line of the shell that has the command as its arguments.
    pub(crate) fn run_in_shell<'a>(&self, line: &str, args: impl IntoIterator<Item = &'a str>) -> Sump {
        let Sump { command, input } = self.run(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", line, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        shell.current_dir(self.0.path());
        Sump { command: shell, input }
    }

    /// `sump replay WHAT --data-dir data` with more arguments.
    pub(crate) fn replay<'a>(&self, what: &'a str, args: impl IntoIterator<Item = &'a str>) -> Sump {
        self.sump(["replay", what, "--data-dir", "data"].into_iter().chain(args))
    }

    /// Runs `sump.toml` to its end.
    pub(crate) fn done(&self) -> Ended {
        self.run(["sump.toml"]).end()
    }
}

/// `sump`, not started yet.
pub(crate) struct Sump {
    command: Command,
    /// `None`: the test writes it while the run goes on.
    input: Option<Vec<u8>>,
}

impl Sump {
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Sump {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Sump {
        self.command.env(name, value);
        self
    }

    /// All of its standard input.
    pub(crate) fn input(self, input: impl Into<Vec<u8>>) -> Sump {
        Sump { input: Some(input.into()), ..self }
    }

    /// A standard input that stays open until the test closes it.
    pub(crate) fn open_input(self) -> Sump {
        Sump { input: None, ..self }
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take();
        if let Some(input) = self.input {
            let mut stdin = stdin.take().unwrap();
            // A run that wants no more than a part of it is as well.
            std::thread::spawn(move || stdin.write_all(&input).ok());
        }
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let output = child.stdout.take().map(|stream| gather(stream, Arc::default()));
        let errors = child.stderr.take().map(|stream| gather(stream, said.clone()));
        Running { child, stdin, said, output, errors }
    }

    /// Runs it to its end.
    pub(crate) fn end(self) -> Ended {
        self.start().end()
    }
}

fn gather(mut stream: impl Read + Send + 'static, said: Arc<Mutex<Vec<u8>>>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut some = [0; 4096];
        loop {
            match stream.read(&mut some).unwrap() {
                0 => return String::from_utf8_lossy(&said.lock().unwrap()).into_owned(),
                count => said.lock().unwrap().extend_from_slice(&some[..count]),
            }
        }
    })
}

/// A run that goes on. It is killed when a test ends before it.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    said: Arc<Mutex<Vec<u8>>>,
    output: Option<JoinHandle<String>>,
    errors: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        kill_process(Pid::from_child(&self.child), signal).ok();
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// Writes to its standard input.
    pub(crate) fn feed(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until it has said something on standard error. Fails when the run ends first.
    #[allow(dead_code, reason = "the tests of the command line look at files instead")]
    pub(crate) fn until_said(&mut self, text: &str) {
        let said = self.said.clone();
        self.until(text, || String::from_utf8_lossy(&said.lock().unwrap()).contains(text));
    }

    /// Waits for something that the run does. Fails when the run ends first.
    pub(crate) fn until(&mut self, what: &str, is: impl Fn() -> bool) {
        assert!(self.reaches(what, is), "the run ended before {what}");
    }

    /// Waits for something that the run does, or for its end. Whether the first came.
    pub(crate) fn reaches(&mut self, what: &str, is: impl Fn() -> bool) -> bool {
        let mut there = false;
        wait_for(what, || {
            let ended = self.child.try_wait().unwrap().is_some();
            there = is();
            there || ended
        });
        there
    }

    /// The most memory that it ever had resident, in bytes, looking until it ends.
    pub(crate) fn peak_memory(&mut self) -> u64 {
        let mut peak = 0;
        wait_for("the end of the run", || {
            peak = self.memory("VmHWM:").map_or(peak, |bytes| peak.max(bytes));
            self.child.try_wait().unwrap().is_some()
        });
        peak
    }

    /// The memory that it has resident, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:").unwrap()
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        self.stdin = None;
        wait_for("the end of the run", || self.child.try_wait().unwrap().is_some());
        let text = |thread: Option<JoinHandle<String>>| thread.map(|thread| thread.join().unwrap()).unwrap_or_default();
        let (output, errors) = (text(self.output.take()), text(self.errors.take()));
        Ended { code: self.child.wait().unwrap().code(), output, errors }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Looks again and again until something is so.
pub(crate) fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        #[expect(clippy::disallowed_methods, reason = "another process gives no sign but what it does")]
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` after a signal that it did not catch.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ended {
    /// Fails unless it ended with this code. What it said is shown.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "it said:\n{}\n{}", self.output, self.errors);
        self
    }

    /// Fails unless standard error has all of this.
    #[track_caller]
    pub(crate) fn saying(self, parts: &[&str]) -> Ended {
        for part in parts {
            assert!(self.errors.contains(part), "`{part}` is not in:\n{}", self.errors);
        }
        self
    }

    /// The row of a sink in the summary: written, retried, rejected, dead letters, dropped, calls.
    #[track_caller]
    pub(crate) fn counts(&self, sink: &str) -> [u64; 6] {
        let row = self.errors.lines().find(|line| line.split_whitespace().next() == Some(sink));
        let row = row.unwrap_or_else(|| panic!("no `{sink}` in:\n{}", self.errors));
        let mut cells = row.split_whitespace().skip(1).map(|cell| cell.replace(',', "").parse().unwrap());
        std::array::from_fn(|_| cells.next().unwrap())
    }

    /// Events written by a sink.
    #[track_caller]
    pub(crate) fn written(&self, sink: &str) -> u64 {
        self.counts(sink)[0]
    }
}
