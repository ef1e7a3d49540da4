//! A component as an encoder before a file sink, beside the built-in template that makes the same bytes: events for a
//! processor second, of whole processes.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/input.rs"]
mod input;
#[path = "support/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use figures::{Fail, median, report};
use process::{Used, run};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 5;

fn main() -> Result<(), Fail> {
    let Some(guests) = std::env::var_os("SUMP_GUESTS").map(PathBuf::from) else {
        return Err("SUMP_GUESTS names no folder of components: run `cargo xtask bench encode`".into());
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let input = input::create(folder.path(), LINES)?;
    let component = guests.join("guest_encoder.wasm");
    let cases = [
        ("raw", "\"raw\"".to_owned()),
        ("template", "{ type = \"template\", template = \"{event:/id},{event:/net},{event:/time}\" }".to_owned()),
        (
            "wasm",
            format!("{{ type = \"wasm\", path = {component:?}, config = {{ fields = [\"id\", \"net\", \"time\"] }} }}"),
        ),
    ];
    let (mut took, mut peak) = ([const { (Vec::new(), Vec::new()) }; 3], 0.0_f64);
    for batch_size in [1_000, 10_000] {
        let mut made = Vec::new();
        // The first round compiles the component and brings the file into memory.
        for round in 0..=ROUNDS {
            for (case, (name, encoder)) in cases.iter().enumerate() {
                let (used, output) = measure(folder.path(), &input, encoder, batch_size)?;
                if round == 0 && *name != "raw" {
                    made.push(fs::read(&output)?);
                }
                peak = peak.max(if *name == "wasm" { used.peak } else { 0.0 });
                if round > 0 {
                    took[case].0.push(used.cpu.as_secs_f64());
                    took[case].1.push(used.wall.as_secs_f64());
                }
            }
        }
        if made.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err("the component makes other bytes than the template".into());
        }
        let [raw, template, wasm] = std::mem::take(&mut took).map(|(cpu, wall)| (median(cpu), median(wall)));
        let name = |what: &str| format!("{what}, batches of {batch_size}");
        report("encode", &name("events for a CPU second, wasm / template"), template.0 / wasm.0, "ratio")?;
        for (case, (cpu, wall)) in [("raw", raw), ("template", template), ("wasm", wasm)] {
            report("encode", &name(case), cpu, "CPU-s/million")?;
            report("encode", &name(&format!("{case}, by the clock")), wall, "s/million")?;
        }
    }
    report("encode", "wasm: peak memory", peak, "MiB")
}

/// A run from the beginning.
fn measure(folder: &Path, input: &Path, encoder: &str, batch_size: usize) -> Result<(Used, PathBuf), Fail> {
    let (config, data, output) = (folder.join("sump.toml"), folder.join("data"), folder.join("out"));
    fs::remove_file(&output).ok();
    let text = format!(
        "[source.lines]\ntype = \"file\"\npath = {input:?}\n[pipeline.bench.sink.out]\ntype = \"file\"\npath = {output:?}\n\
         fsync = \"never\"\nbatch_size = {batch_size}\nencoder = {encoder}\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
    command.arg("run").arg(&config).arg("--from-start").arg("--data-dir").arg(&data);
    Ok((run(command.stderr(Stdio::null()))?, output))
}
