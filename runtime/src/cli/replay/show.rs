//! `sump replay show`: dead letters one by one.

use std::io::{self, ErrorKind, Write};

use serde_json::json;

use super::{Exit, directory, say_passed_over, time};
use crate::cli::args::{ReplayShow, ShowFormat};
use crate::delivery::{Found, Letter, Scan, Snapshot};

pub(super) fn show(args: &ReplayShow) -> anyhow::Result<Exit> {
    let directory = match directory(&args.place)? {
        Ok(directory) => directory,
        Err(exit) => return Ok(exit),
    };
    let mut scan = Scan::new(&Snapshot::take(&directory)?, args.select.filter(), args.done);
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    while left > 0 {
        let mut found = scan.read()?;
        if found.is_empty() {
            break;
        }
        found.truncate(left);
        left -= found.len();
        let written = found.iter().try_for_each(|found| write(&mut out, found, args.format));
        match written.and_then(|()| out.flush()) {
            // A reader that went away has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
            written => written?,
        }
    }
    say_passed_over(scan.unevaluated, scan.unreadable);
    Ok(Exit::Done)
}

fn write(out: &mut impl Write, found: &Found, format: ShowFormat) -> io::Result<()> {
    let letter = &found.letter;
    match format {
        ShowFormat::Raw => match &letter.payload {
            Some(payload) => out.write_all(&payload.0).and_then(|()| out.write_all(b"\n")),
            None => Ok(()),
        },
        ShowFormat::Json => {
            serde_json::to_writer(&mut *out, letter)?;
            out.write_all(b"\n")
        }
        ShowFormat::Pretty => out.write_all(pretty(found).as_bytes()),
    }
}

/// A few lines, and one that is empty.
fn pretty(found: &Found) -> String {
    let Letter { pipeline, sink, kind, code, message, attempts, replays, partition, position, .. } = &found.letter;
    let mut text = format!("{pipeline}:{sink}  {}  {kind} ({code}): {}\n", time(found.letter.time), escaped(message));
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<10} {value}\n"));
    let times = |count: &u32| if *count == 1 { "once".to_owned() } else { format!("{count} times") };
    line("tried", if *attempts == 0 { "never".into() } else { times(attempts) });
    if *replays > 0 {
        line("sent again", times(replays));
    }
    if found.done {
        line("done", "yes".into());
    }
    let source = found.letter.source.as_ref().map(|source| format!(", source {source}")).unwrap_or_default();
    line("read from", format!("{} at {position}{source}", escaped(partition)));
    if let Some((start, end)) = found.letter.range {
        line("range", format!("{start} to {end}: the payload is only its beginning"));
    }
    line("timestamp", u64::try_from(found.letter.timestamp).map_or(found.letter.timestamp.to_string(), time));
    if let Some(key) = &found.letter.key {
        line("key", bytes(&key.0));
    }
    for (name, value) in &found.letter.headers {
        let value = value.as_ref().map_or("null".into(), |value| bytes(&value.0));
        line("header", format!("{} = {value}", bytes(&name.0)));
    }
    line("payload", found.letter.payload.as_ref().map_or("null".into(), |payload| bytes(&payload.0)));
    text.push('\n');
    text
}

/// Text that can't control a terminal; other bytes as base64.
fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => escaped(text),
        Err(_) => json!(crate::delivery::Bytes(bytes.to_vec())).to_string(),
    }
}

fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}
