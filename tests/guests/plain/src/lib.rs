//! A plain sink that does whatever its configuration says, well or badly: `{"open": …}` and `{"write": …}` name what
//! happens there.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated bindings, and a guest that misbehaves")]

mod request;

use std::cell::RefCell;
use std::io::{Read, Write};

wit_bindgen::generate!({ path: "../../../wit", world: "sink-component" });

use exports::sump::sink::sink::{Batch, Context, Description, Failure, Guest, Opening, Report};
use sump::sink::events::{FailureKind, Refusal};

struct Component;

/// Asks for more memory than there is, and lives; then traps for another reason.
fn ask_then_trap(writes: u32) -> Result<Report, Failure> {
    assert!(writes == 1, "no");
    let refused = Vec::<u8>::new().try_reserve_exact(1 << 30).is_err();
    Err(failure(FailureKind::Rejected, "asked", refused.to_string()))
}

/// Tries to reach something outside, and tells what came of it as a failure; nothing if that is not asked for.
fn reach(batch: &Batch) -> Option<Failure> {
    match setting("write").as_str() {
        "env" => {
            let mut all: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            all.sort();
            Some(failure(FailureKind::Rejected, "env", all.join(" ")))
        }
        "read-dir" => {
            let found = std::fs::read_to_string(setting("file"));
            let kind = if setting("kind") == "halted" { FailureKind::Halted } else { FailureKind::Rejected };
            Some(failure(kind, "read", format!("{found:?}")))
        }
        "write-dir" => {
            let done = std::fs::write(setting("file"), b"written");
            Some(failure(FailureKind::Rejected, "write", format!("{:?}", done.map_err(|error| error.kind()))))
        }
        "tcp" => {
            let answer = || -> std::io::Result<String> {
                let mut stream = std::net::TcpStream::connect(setting("to"))?;
                stream.write_all(&batch.payload.bytes)?;
                stream.shutdown(std::net::Shutdown::Write)?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            };
            Some(failure(FailureKind::Rejected, "tcp", format!("{:?}", answer().map_err(|error| error.kind()))))
        }
        "http" => {
            let (method, url, token) = (setting("method"), setting("url"), setting("token"));
            let body = &batch.payload.bytes;
            let answer = request::send(&method, &url, &token, body).unwrap_or_else(|error| error);
            Some(failure(FailureKind::Rejected, "http", answer))
        }
        "lookup" => {
            use std::net::ToSocketAddrs;
            let done = (setting("name"), 80).to_socket_addrs();
            Some(failure(FailureKind::Rejected, "lookup", format!("{}", done.is_ok())))
        }
        _ => None,
    }
}

export!(Component);

thread_local! {
    static CONFIG: RefCell<serde_json::Value> = const { RefCell::new(serde_json::Value::Null) };
    static WRITES: RefCell<u32> = const { RefCell::new(0) };
}

fn setting(name: &str) -> String {
    CONFIG.with_borrow(|config| config[name].as_str().unwrap_or_default().to_owned())
}

fn failure(kind: FailureKind, code: &str, message: String) -> Failure {
    Failure { kind, code: code.into(), message }
}

impl Guest for Component {
    fn describe() -> Description {
        Description {
            name: "guest-plain".into(),
            version: "1.2.3".into(),
            config_schema: Some(
                r#"{"type":"object","properties":{"open":{"type":"string"},"write":{"type":"string"},"n":{"type":"integer"}}}"#
                    .into(),
            ),
            max_events: Some(5000),
            max_bytes: None,
            stops_in_order: true,
            content_type: None,
        }
    }

    fn open(opening: Opening) -> Result<(), Failure> {
        CONFIG.set(serde_json::from_str(&opening.config).unwrap_or_default());
        match setting("open").as_str() {
            "transient" => Err(failure(FailureKind::Transient(Some(1500)), "busy", "come back".into())),
            "halted" => Err(failure(FailureKind::Halted, "no-table", "create it".into())),
            "trap" => panic!("no"),
            "spin" => spin(),
            "echo" => Err(failure(
                FailureKind::Rejected,
                "echo",
                format!("{} {} {}", opening.pipeline, opening.sink, opening.instance),
            )),
            _ => Ok(()),
        }
    }

    fn write(batch: Batch, context: Context) -> Result<Report, Failure> {
        let all_written = Report { refused: vec![], stopped_at: None };
        let writes = WRITES.with_borrow_mut(|writes| {
            *writes += 1;
            *writes
        });
        let rows = batch.payload.offsets.len() as u32 - 1;
        let refusal =
            |events: Vec<u32>| Refusal { events, failure: failure(FailureKind::Rejected, "bad", "it is bad".into()) };
        match setting("write").as_str() {
            "refuse-odd" => {
                let odd = (0..rows).filter(|row| row % 2 == 1).collect();
                Ok(Report { refused: vec![refusal(odd)], stopped_at: None })
            }
            // What stops in order ends here.
            "go-on" => {
                let failure = failure(FailureKind::Transient(None), "busy", "come back".into());
                Ok(Report { refused: vec![Refusal { events: vec![0], failure }], stopped_at: None })
            }
            "post-and-forget" => {
                request::send("POST", &setting("url"), "", &batch.payload.bytes).ok();
                Ok(all_written)
            }
            "stop" => Ok(Report { refused: vec![refusal(vec![0])], stopped_at: Some(2) }),
            "transient" => Err(failure(FailureKind::Transient(Some(250)), "busy", "come back".into())),
            "unknown" => Err(failure(FailureKind::Unknown, "lost", "perhaps".into())),
            "bad-index" => Ok(Report { refused: vec![refusal(vec![rows])], stopped_at: None }),
            "twice" => Ok(Report { refused: vec![refusal(vec![0, 0])], stopped_at: None }),
            "ugly-text" => Err(failure(FailureKind::Rejected, "a b\x1b", "x\x1b[31m".repeat(10_000))),
            "trap" => panic!("no"),
            "trap-second" if writes == 2 => panic!("no"),
            "exit" => std::process::exit(3),
            "spin" => spin(),
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                Ok(all_written)
            }
            "nap" => {
                std::thread::sleep(std::time::Duration::from_millis(50));
                Ok(all_written)
            }
            "eat" => eat(),
            "obey" => Ok(obey(&batch)),
            "ask-then-trap" => ask_then_trap(writes),
            "flood" => {
                for _ in 0..20_000 {
                    println!("{}", "flood ".repeat(20));
                    eprintln!("flood");
                }
                Ok(all_written)
            }
            "count-writes" => Err(failure(FailureKind::Rejected, "count", writes.to_string())),
            "context" => Err(failure(
                FailureKind::Rejected,
                "context",
                format!(
                    "{} {} {} {} {} {}",
                    context.pipeline,
                    context.sink,
                    context.batch_id,
                    context.attempt,
                    context.ordered,
                    context.timeout_ms > 0
                ),
            )),
            "dump" => Err(failure(FailureKind::Rejected, "dump", dump(&batch))),
            _ => reach(&batch).map_or(Ok(all_written), Err),
        }
    }

    fn close() -> Result<(), Failure> {
        match setting("close").as_str() {
            "fail" => Err(failure(FailureKind::Unknown, "unflushed", "perhaps".into())),
            _ => Ok(()),
        }
    }
}

/// Does what the events say: one word each, `ok` for what is to be written.
fn obey(batch: &Batch) -> Report {
    let rows = batch.payload.offsets.len() as u32 - 1;
    let mut refused = Vec::new();
    for (row, pair) in batch.payload.offsets.windows(2).enumerate() {
        match &batch.payload.bytes[pair[0] as usize..pair[1] as usize] {
            b"trap" => panic!("no"),
            b"exit" => std::process::exit(3),
            b"spin" => spin(),
            b"eat" => eat(),
            b"lie" => refused.push(rows),
            b"refuse" => refused.push(row as u32),
            _ => {}
        }
    }
    let failure = failure(FailureKind::Rejected, "bad", "it is bad".into());
    let refused = if refused.is_empty() { vec![] } else { vec![Refusal { events: refused, failure }] };
    Report { refused, stopped_at: None }
}

fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// All that there is of a batch, in one line.
fn dump(batch: &Batch) -> String {
    let column = |column: &sump::sink::events::Column| -> Vec<String> {
        let bounds = column.offsets.windows(2).enumerate();
        bounds
            .map(|(row, pair)| {
                let bytes = &column.bytes[pair[0] as usize..pair[1] as usize];
                let valid = column.validity.as_ref().is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1);
                if valid { String::from_utf8_lossy(bytes).into_owned() } else { "null".to_owned() }
            })
            .collect()
    };
    let headers = batch.headers.as_ref().map(|headers| {
        let (names, values) = (column(&headers.names), column(&headers.values));
        let pairs = |pair: &[u32]| {
            (pair[0] as usize..pair[1] as usize)
                .map(|i| format!("{}={}", names[i], values[i]))
                .collect::<Vec<_>>()
                .join(",")
        };
        headers.offsets.windows(2).map(pairs).collect::<Vec<_>>().join("|")
    });
    let runs: Vec<String> = batch
        .origin
        .runs
        .iter()
        .map(|run| format!("{}:{}", run.start, batch.origin.partitions[run.partition as usize]))
        .collect();
    format!(
        "payload {} key {} time {:?} headers {} runs {} at {:?}",
        column(&batch.payload).join("|"),
        batch.key.as_ref().map_or("-".into(), |key| column(key).join("|")),
        batch.timestamps,
        headers.unwrap_or("-".into()),
        runs.join("|"),
        batch.origin.positions,
    )
}
