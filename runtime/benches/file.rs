//! Lines from a file into a file and into `null`, by the command as people run it, beside what the system's own
//! tools and other programs take for the same bytes. Processor seconds a million lines: user and system, start and end
//! included.
//!
//! `cat` leaves the copying of a file to the kernel (`copy_file_range`), which no program that looks at its bytes can do.
//! So there is a loop beside it that reads, looks for newlines, and writes.
//!
//! rsyslog and syslog-ng are in the folder that `SUMP_PEERS` names, with their configurations in `peers/`. Without it they
//! are left out.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/input.rs"]
mod input;
#[path = "support/process.rs"]
mod process;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use figures::{Fail, median, report};
use process::{Used, run, run_until};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 7;

/// What is measured in each round, one after the other.
const CASES: [&str; 11] = [
    "cat to a file",
    "read, memchr and write, 128 KiB",
    "file to file, no fsync",
    "file to file, no fsync, batches of 10,000",
    "file to file",
    "wc -l",
    "file to null",
    "gzip -6",
    "file to file, gzip",
    "rsyslog",
    "syslog-ng",
];

/// Nothing that another program does should come near it.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<(), Fail> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bench = Bench::new(folder.path(), LINES)?;
    let mut took: [Vec<f64>; CASES.len()] = Default::default();
    let (mut peak, mut size) = ([0.0_f64; CASES.len()], [0_u64; CASES.len()]);
    // The first round brings the file into memory.
    for round in 0..=ROUNDS {
        for (case, name) in CASES.iter().enumerate() {
            let Some((cpu, most)) = bench.measure(name)? else { continue };
            if round > 0 {
                took[case].push(cpu);
                peak[case] = peak[case].max(most);
                size[case] = bench.output.metadata().map_or(0, |made| made.len());
            }
        }
    }
    let took = took.map(median);
    let [cat, copied, to_file, large_batches, synced, count, to_null, gzip, packed, rsyslog, syslog_ng] = took;
    report("file", "file to file, no fsync / read, memchr and write", to_file / copied, "ratio")?;
    report("file", "file to file, gzip / gzip -6", packed / gzip, "ratio")?;
    report("file", "file to file, gzip / gzip -6, size", size[8] as f64 / size[7] as f64, "ratio")?;
    report("file", "file to file / rsyslog", synced / rsyslog, "ratio")?;
    report("file", "file to file / syslog-ng", synced / syslog_ng, "ratio")?;
    report("file", "file to file, no fsync / cat", to_file / cat, "ratio")?;
    report("file", "batches of 10,000 / cat", large_batches / cat, "ratio")?;
    report("file", "file to file / cat", synced / cat, "ratio")?;
    report("file", "file to null / wc -l", to_null / count, "ratio")?;
    report("file", "file to file: peak memory", peak[4], "MiB")?;
    for (name, cpu) in CASES.iter().zip(took) {
        report("file", name, cpu, "CPU-s/million")?;
    }
    ten_million(folder.path())
}

/// Long runs: what the start takes is lost in them, and memory that grows is seen.
fn ten_million(folder: &Path) -> Result<(), Fail> {
    let bench = Bench::new(folder, 10 * LINES)?;
    let rounds: Vec<Used> = (0..3).map(|_| bench.sump("null", "")).collect::<Result<_, _>>()?;
    let cpu = median(rounds.iter().map(|used| used.cpu.as_secs_f64() / 10.0).collect());
    report("file", "10 million lines to null", cpu, "CPU-s/million")?;
    report("file", "10 million lines to null", 1.0 / cpu, "M lines/s of one core")?;
    let wall = median(rounds.iter().map(|used| 10.0 / used.wall.as_secs_f64()).collect());
    report("file", "10 million lines to null, by the clock", wall, "M lines/s")?;
    report("file", "10 million lines to null: peak memory", rounds[0].peak, "MiB")?;
    let used = bench.sump("file", "")?;
    report("file", "10 million lines to a file", used.cpu.as_secs_f64() / 10.0, "CPU-s/million")?;
    report("file", "10 million lines to a file: peak memory", used.peak, "MiB")
}

struct Bench {
    folder: PathBuf,
    input: PathBuf,
    output: PathBuf,
}

impl Bench {
    /// Makes the input: the quake events, over and over.
    fn new(folder: &Path, lines: usize) -> Result<Bench, Fail> {
        let input = input::create(folder, lines)?;
        Ok(Bench { folder: folder.to_owned(), input, output: folder.join("out.ndjson") })
    }

    /// Processor seconds, and the peak of memory where a process of its own was measured. `None` where it is not there.
    fn measure(&self, case: &str) -> Result<Option<(f64, f64)>, Fail> {
        let of = |used: Used| (used.cpu.as_secs_f64(), used.peak);
        fs::remove_file(&self.output).ok();
        let used = match case {
            "cat to a file" => of(run(Command::new("cat").arg(&self.input).stdout(File::create(&self.output)?))?),
            "read, memchr and write, 128 KiB" => (self.copy()?, 0.0),
            "file to file, no fsync" => of(self.sump("file", "fsync = \"never\"")?),
            "file to file, no fsync, batches of 10,000" => {
                of(self.sump("file", "fsync = \"never\"\nbatch_size = 10000")?)
            }
            "file to file" => of(self.sump("file", "")?),
            "gzip -6" => {
                of(run(Command::new("gzip").args(["-6", "-c"]).arg(&self.input).stdout(File::create(&self.output)?))?)
            }
            "file to file, gzip" => of(self.sump("file", "compression = \"gzip\"\nbatch_size = 10000")?),
            "rsyslog" | "syslog-ng" => match self.peer(case)? {
                Some(used) => of(used),
                None => return Ok(None),
            },
            "wc -l" => of(run(Command::new("wc").arg("-l").arg(&self.input).stdout(Stdio::null()))?),
            _ => of(self.sump("null", "")?),
        };
        let whole = self.output.exists() && !case.contains("gzip");
        if whole && self.output.metadata()?.len() != self.input.metadata()?.len() {
            return Err(format!("{case}: the copy has another length").into());
        }
        Ok(Some(used))
    }

    /// A run from the beginning.
    fn sump(&self, sink: &str, settings: &str) -> Result<Used, Fail> {
        let (config, data) = (self.folder.join("sump.toml"), self.folder.join("data"));
        fs::remove_file(&self.output).ok();
        let path = if sink == "file" { format!("path = {:?}\n", self.output) } else { String::new() };
        let text = format!(
            "[source.lines]\ntype = \"file\"\npath = {:?}\n[pipeline.bench]\nsource = \"lines\"\n\
             [pipeline.bench.sink.out]\ntype = \"{sink}\"\n{path}{settings}\n",
            self.input
        );
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
        command.arg("run").arg(&config).arg("--from-start").arg("--data-dir").arg(&data);
        run(command.stderr(Stdio::null()))
    }

    /// Another program, from its start until it has written everything, and was told to end.
    fn peer(&self, name: &str) -> Result<Option<Used>, Fail> {
        let Some(root) = std::env::var_os("SUMP_PEERS").map(PathBuf::from) else { return Ok(None) };
        let folder = self.folder.join(name);
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder)?;
        let configuration = match name {
            "rsyslog" => include_str!("peers/rsyslog.conf"),
            _ => include_str!("peers/syslog-ng.conf"),
        };
        let path = |path: &Path| path.display().to_string();
        let configuration = configuration
            .replace("{IN}", &path(&self.input))
            .replace("{OUT}", &path(&self.output))
            .replace("{DIR}", &path(&folder));
        let config = folder.join("config");
        fs::write(&config, configuration)?;
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut command = match name {
            "rsyslog" => {
                let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
                command.arg("-n").arg("-f").arg(&config).arg("-i").arg(folder.join("pid"));
                command.arg("-M").arg(libraries.join("rsyslog"));
                command
            }
            _ => {
                let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
                command.arg("--foreground").arg("--cfgfile").arg(&config).arg("--no-caps");
                command.arg("--module-path").arg(root.join("usr/lib/syslog-ng/3.38"));
                for (option, file) in [("--persist-file", "persist"), ("--pidfile", "pid"), ("--control", "control")] {
                    command.arg(option).arg(folder.join(file));
                }
                command
            }
        };
        let paths = std::env::join_paths([&libraries, &root.join("usr/lib/syslog-ng")])?;
        command.env("LD_LIBRARY_PATH", paths).stdout(Stdio::null()).stderr(Stdio::null());
        let wanted = self.input.metadata()?.len();
        let used = run_until(&mut command, |process| {
            let began = Instant::now();
            while self.output.metadata().map_or(0, |written| written.len()) < wanted && began.elapsed() < PATIENCE {
                #[expect(clippy::disallowed_methods, reason = "another process gives no sign but what it does")]
                std::thread::sleep(Duration::from_millis(2));
            }
            let process = Pid::from_raw(process as i32).ok_or("a process has a number")?;
            Ok(kill_process(process, Signal::TERM)?)
        });
        Ok(Some(used?))
    }

    /// Processor seconds of a thread that reads, looks for newlines, and writes.
    fn copy(&self) -> Result<f64, Fail> {
        let began = processor_time();
        let mut lines = 0;
        let (mut input, mut output) = (File::open(&self.input)?, File::create(&self.output)?);
        let mut buffer = vec![0; 128 << 10];
        loop {
            match input.read(&mut buffer)? {
                0 => break,
                read => {
                    lines += memchr::memchr_iter(b'\n', &buffer[..read]).map(std::hint::black_box).count();
                    output.write_all(&buffer[..read])?;
                }
            }
        }
        let took = processor_time() - began;
        if lines == LINES { Ok(took) } else { Err(format!("{lines} lines of {LINES}").into()) }
    }
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
