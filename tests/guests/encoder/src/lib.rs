//! An encoder that does whatever its events say, well or badly. With the configuration `{"fields": […]}` it does nothing
//! odd: it takes these fields out of flat JSON and puts commas between them, as a template does.
#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated bindings, and a guest that misbehaves")]

mod fields;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

wit_bindgen::generate!({ path: "../../../wit", world: "encoder-component" });

use exports::sump::sink::encoder::{
    Batch, Column, Description, Encoded, Failure, Guest, Headers, Opening, Refusal, Sources,
};
use sump::sink::events::FailureKind;

struct Component;

export!(Component);

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static FIELDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn failure(kind: FailureKind, code: &str) -> Failure {
    Failure { kind, code: code.into(), message: "as told".into() }
}

fn column(values: &[Option<Vec<u8>>]) -> Column {
    let (mut offsets, mut bytes, mut bits) = (vec![0], Vec::new(), vec![0u8; values.len().div_ceil(8)]);
    for (row, value) in values.iter().enumerate() {
        bytes.extend(value.iter().flatten());
        offsets.push(bytes.len() as u32);
        bits[row / 8] |= u8::from(value.is_some()) << (row % 8);
    }
    let validity = values.iter().any(Option::is_none).then_some(bits);
    Column { offsets, bytes, validity }
}

/// What the runtime, the clocks and the dice tell, which is always the same.
fn told() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let began = std::time::Instant::now();
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let vars = std::env::vars().count();
    let files = std::fs::read_dir("/").is_ok();
    let tcp = std::net::TcpStream::connect("127.0.0.1:1").is_ok();
    format!("{now} {:?} {hash} {vars} {files} {tcp}", began.elapsed())
}

impl Guest for Component {
    fn describe() -> Description {
        Description {
            name: "guest-encoder".into(),
            version: "0.1.0".into(),
            config_schema: Some(
                r#"{"type":"object","properties":{"fields":{"type":"array"},"open":{"type":"string"}}}"#.into(),
            ),
            max_events: Some(5000),
            max_bytes: None,
            stops_in_order: true,
            content_type: Some("text/odd".into()),
        }
    }

    fn open(opening: Opening) -> Result<(), Failure> {
        let config: serde_json::Value = serde_json::from_str(&opening.config).unwrap();
        if config["open"] == "fail" {
            return Err(failure(FailureKind::Halted, "no-key"));
        }
        let fields = config["fields"].as_array().into_iter().flatten();
        FIELDS.set(fields.map(|field| field.as_str().unwrap().to_owned()).collect());
        Ok(())
    }

    fn encode(batch: Batch) -> Result<Encoded, Failure> {
        CALLS.set(CALLS.get() + 1);
        FIELDS.with_borrow(|fields| if fields.is_empty() { odd(&batch) } else { Ok(fields::encode(&batch, fields)) })
    }
}

/// Each event is a word: what is to be made of it.
fn odd(batch: &Batch) -> Result<Encoded, Failure> {
    let rows = batch.payload.offsets.windows(2);
    let words: Vec<String> = rows
        .map(|pair| String::from_utf8_lossy(&batch.payload.bytes[pair[0] as usize..pair[1] as usize]).into_owned())
        .collect();
    let (mut values, mut sources) = (Vec::new(), Sources { offsets: vec![0], events: Vec::new() });
    let (mut refused, mut twice) = (Vec::new(), None);
    let mut add = |value: Option<String>, events: &[u32]| {
        values.push(value.map(String::into_bytes));
        sources.events.extend(events);
        sources.offsets.push(sources.events.len() as u32);
    };
    for (row, word) in (0..).zip(&words) {
        match word.as_str() {
            "drop" => {}
            "two" => (0..2).for_each(|part| add(Some(format!("{part} of {row}")), &[row])),
            "all" => add(Some("all".into()), &(0..words.len() as u32).collect::<Vec<_>>()),
            "null" => add(None, &[row]),
            "refuse" => refused.push(row),
            "fail" => return Err(failure(FailureKind::Transient(None), "bad-batch")),
            "trap" => panic!("as told"),
            "spin" => loop {
                std::hint::black_box(());
            },
            "eat" => std::mem::drop(std::hint::black_box(vec![1u8; 1 << 30])),
            "count" => add(Some(CALLS.get().to_string()), &[row]),
            "told" => add(Some(told()), &[row]),
            "beyond" => add(Some("x".into()), &[words.len() as u32]),
            "nothing" => add(Some("x".into()), &[]),
            "twice" => twice = Some(row),
            "map" => {
                let map: HashMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
                add(Some(format!("{:?}", map.keys().collect::<Vec<_>>())), &[row]);
            }
            word => add(Some(word.to_uppercase()), &[row]),
        }
    }
    if let Some(row) = twice {
        add(Some("x".into()), &[row]);
        refused.push(row);
    }
    let count = values.len();
    let mut payload = column(&values);
    if words.iter().any(|word| word == "short") {
        payload.offsets[0] = 1;
    }
    let keys: Vec<_> = (0..count).map(|value| (value % 2 == 0).then(|| format!("k{value}").into_bytes())).collect();
    let all = |text: &str| vec![Some(text.as_bytes().to_vec()); count];
    let headers =
        Headers { offsets: (0..=count as u32).collect(), names: column(&all("h")), values: column(&all("v")) };
    let refused = match refused.is_empty() {
        true => Vec::new(),
        false => vec![Refusal { events: refused, failure: failure(FailureKind::Unknown, "odd") }],
    };
    let (key, headers) = (Some(column(&keys)), Some(headers));
    Ok(Encoded { payload, key, timestamps: None, headers, sources: Some(sources), refused })
}
