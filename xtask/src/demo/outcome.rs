//! What a demonstration delivered, and where.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::endpoint::Request;
use crate::report::note;

/// Counts what lies in the folder and what the endpoint saw, and shows one dead letter.
pub(super) fn show(out: &Path, requests: &[Request]) -> Result<()> {
    let events = lines(Path::new(crate::command::root()).join("data/earthquakes.ndjson").as_path())?;
    let networks = files(&out.join("networks"))?;
    let archived: usize = networks.iter().map(|(_, lines)| lines).sum();
    note(format!("networks/  {archived} events in {} files, such as {}", networks.len(), sample(&networks)));
    let days = files(&out.join("days"))?;
    let rows: usize = days.iter().map(|(_, lines)| lines - 1).sum();
    note(format!("days/      {rows} rows in {} files, such as {}", days.len(), sample(&days)));

    let of = |status: u16| requests.iter().filter(move |request| request.status == status);
    let alerts = |status: u16| of(status).map(|request| request.alerts).sum::<usize>();
    let mut keys: Vec<&str> = requests.iter().map(|request| request.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    note(format!(
        "web hook   {} requests for {} batches: {} busy (tried again under the same Idempotency-Key), {} accepted with {} \
         alerts, {} refused with {}",
        requests.len(),
        keys.len(),
        of(503).count(),
        of(204).count(),
        alerts(204),
        of(422).count(),
        alerts(422),
    ));
    let dead = dead_letters(&out.join("data/dead_letters"))?;
    note(format!("data/dead_letters/  {} events, each with its story:", dead.len()));
    if let Some(letter) = dead.first() {
        for field in ["pipeline", "sink", "kind", "code", "attempts", "partition", "position", "payload"] {
            note(format!("    {field}: {}", letter[field]));
        }
    }
    ensure!(archived == events && rows == events, "{events} events were read, {archived} archived, {rows} in tables");
    ensure!(dead.len() == alerts(422), "{} alerts were refused, and {} are dead letters", alerts(422), dead.len());
    Ok(())
}

fn sample(files: &[(String, usize)]) -> String {
    files
        .iter()
        .max_by_key(|(_, lines)| *lines)
        .map_or("none".into(), |(name, lines)| format!("{name} ({lines} lines)"))
}

/// The files of a folder with their lines.
fn files(folder: &Path) -> Result<Vec<(String, usize)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), lines(&entry.path())?));
    }
    files.sort();
    Ok(files)
}

fn lines(file: &Path) -> Result<usize> {
    let text = fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(text.lines().count())
}

fn dead_letters(folder: &Path) -> Result<Vec<Value>> {
    let mut letters = Vec::new();
    for (name, _) in files(folder)? {
        for line in fs::read_to_string(folder.join(name))?.lines() {
            letters.push(serde_json::from_str(line)?);
        }
    }
    Ok(letters)
}
