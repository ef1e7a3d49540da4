//! Fields of flat JSON objects with commas between them, in one pass over each payload.

use super::exports::sump::sink::encoder::{Batch, Column, Encoded};

/// One value of each event. A field that is missing is empty.
pub(crate) fn encode(batch: &Batch, fields: &[String]) -> Encoded {
    let offsets = &batch.payload.offsets;
    let mut out = Column {
        offsets: Vec::with_capacity(offsets.len()),
        bytes: Vec::with_capacity(batch.payload.bytes.len() / 2),
        validity: None,
    };
    out.offsets.push(0);
    let mut found = vec![&[][..]; fields.len()];
    for pair in offsets.windows(2) {
        found.fill(&[]);
        find(&batch.payload.bytes[pair[0] as usize..pair[1] as usize], fields, &mut found);
        for (number, value) in found.iter().enumerate() {
            if number > 0 {
                out.bytes.push(b',');
            }
            out.bytes.extend_from_slice(value);
        }
        out.offsets.push(out.bytes.len() as u32);
    }
    Encoded { payload: out, key: None, timestamps: None, headers: None, sources: None, refused: Vec::new() }
}

/// The texts, without their quotes, and numbers of some fields.
fn find<'a>(json: &'a [u8], fields: &[String], found: &mut [&'a [u8]]) {
    let (mut at, mut missing) = (0, fields.len());
    while missing > 0
        && let Some((name, after)) = string(json, at)
    {
        let Some(colon) = json[after..].iter().position(|byte| !byte.is_ascii_whitespace()) else { return };
        at = after + colon + 1;
        while json.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let value = match json.get(at) {
            Some(b'"') => match string(json, at) {
                Some((value, after)) => {
                    at = after;
                    value
                }
                None => return,
            },
            _ => {
                let end = json[at..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(json.len() - at);
                at += end;
                &json[at - end..at]
            }
        };
        if let Some(number) = fields.iter().position(|field| field.as_bytes() == name) {
            found[number] = value;
            missing -= 1;
        }
    }
}

/// The next string from `at` on, and where it ends.
fn string(json: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let start = at + json.get(at..)?.iter().position(|byte| *byte == b'"')? + 1;
    let mut end = start;
    loop {
        match json.get(end)? {
            b'"' => return Some((&json[start..end], end + 1)),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}
