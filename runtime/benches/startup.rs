//! How long it takes from the start of the process until an event is delivered and the process has ended: into `null`,
//! and into a sink written in Rust, whose compiled code is there already, or has to be made first.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/process.rs"]
mod process;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use figures::{Fail, median, report};
use process::{Used, run};

const QUAKES: &str = include_str!("../../data/earthquakes.ndjson");
const ROUNDS: usize = 41;
const COLD_ROUNDS: usize = 5;

fn main() -> Result<(), Fail> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bench = Bench::new(folder.path())?;
    let cold = (0..COLD_ROUNDS).map(|_| bench.cold()).collect::<Result<Vec<Used>, _>>()?;
    let (mut null, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        null.push(bench.null()?);
        cached.push(bench.component()?);
    }
    let wall = |rounds: &[Used]| median(rounds.iter().map(|used| used.wall.as_secs_f64() * 1e3).collect());
    let cpu = |rounds: &[Used]| median(rounds.iter().map(|used| used.cpu.as_secs_f64() * 1e3).collect());
    for (case, rounds) in [("null", &null), ("Rust sink, cached", &cached), ("Rust sink, cold", &cold)] {
        report("startup", case, wall(rounds), "ms")?;
        report("startup", &format!("{case}: processor"), cpu(rounds), "ms")?;
    }
    let added: Vec<f64> = null.iter().zip(&cached).map(|(null, cached)| difference(null, cached)).collect();
    report("startup", "a cached Rust sink adds", median(added), "ms")?;
    report("startup", "a cached Rust sink adds: processor", cpu(&cached) - cpu(&null), "ms")?;
    let peak = cached.iter().map(|used| used.peak).fold(0.0, f64::max);
    report("startup", "Rust sink, cached: peak memory", peak, "MiB")
}

fn difference(null: &Used, cached: &Used) -> f64 {
    (cached.wall.as_secs_f64() - null.wall.as_secs_f64()) * 1e3
}

struct Bench {
    folder: PathBuf,
    component: PathBuf,
    event: PathBuf,
    config: PathBuf,
}

impl Bench {
    fn new(folder: &Path) -> Result<Bench, Fail> {
        let (event, config) = (folder.join("event.ndjson"), folder.join("null.toml"));
        fs::write(&event, QUAKES.split_inclusive('\n').next().unwrap_or_default())?;
        let text = "[source.events]\ntype = \"stdin\"\n[pipeline.bench]\nsource = \"events\"\n\
                    [pipeline.bench.sink.none]\ntype = \"null\"\n";
        fs::write(&config, text)?;
        fs::create_dir(folder.join("out"))?;
        Ok(Bench { folder: folder.to_owned(), component: component()?, event, config })
    }

    fn null(&self) -> Result<Used, Fail> {
        self.run(|command| command.arg(&self.config))
    }

    fn component(&self) -> Result<Used, Fail> {
        let grant = format!("{}:/out:rw", self.folder.join("out").display());
        self.run(|command| command.arg(&self.component).arg("--allow-dir").arg(grant))
    }

    /// Without anything compiled. Leaves it compiled.
    fn cold(&self) -> Result<Used, Fail> {
        fs::remove_dir_all(self.folder.join("cache")).ok();
        self.component()
    }

    fn run(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<Used, Fail> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
        command.env("XDG_CACHE_HOME", self.folder.join("cache")).stdin(File::open(&self.event)?).stderr(Stdio::null());
        command.arg("run").arg("--strict").arg("--data-dir").arg(self.folder.join("data"));
        run(arguments(&mut command))
    }
}

/// An example sink, where it was built already, or built here.
fn component() -> Result<PathBuf, Fail> {
    const FILE: &str = "csv_by_day.wasm";
    if let Some(folder) = std::env::var_os("SUMP_GUESTS") {
        return Ok(Path::new(&folder).join(FILE));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-wasip2", "--package", "csv-by-day"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err("building csv-by-day failed: `rustup target add wasm32-wasip2`?".into());
    }
    Ok(target.join("wasm32-wasip2/guest").join(FILE))
}
