//! Rust source as a scan of text needs it: without comments and literals.

/// The source with comments, strings and characters blanked out. Every other byte keeps its place.
pub(super) fn only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = end_of_literal(bytes, at) else {
            at += 1;
            continue;
        };
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(code).expect("only whole characters are blanked out")
}

/// Where the comment or literal ends that begins here, if one does.
fn end_of_literal(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n'),
        [b'/', b'*', ..] => Some(block_comment(rest)),
        [b'"', ..] => Some(quoted(rest, b'"')),
        [b'\'', b'\\', ..] => Some(quoted(rest, b'\'')),
        [b'\'', ..] => return character(rest).map(|length| at + length),
        [b'r' | b'b' | b'c', ..] if at == 0 || !is_name(bytes[at - 1]) => {
            return raw_string(rest).map(|length| at + length);
        }
        _ => return None,
    };
    Some(at + length.unwrap_or(rest.len()))
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character, unless the quote begins a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let length = match rest.get(1)? {
        ..0x80 => 1,
        ..0xe0 => 2,
        ..0xf0 => 3,
        _ => 4,
    };
    (rest.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest[0] == b'r' { 1 } else { 2 };
    let hashes = rest.get(prefix..)?.iter().take_while(|&&byte| byte == b'#').count();
    let open = prefix + hashes;
    if rest[prefix - 1] != b'r' || rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let content = &rest[open + 1..];
    let length = content.windows(close.len()).position(|window| window == close).unwrap_or(content.len());
    Some((open + 1 + length + close.len()).min(rest.len()))
}

/// Where `needle` stands by itself, not as a part of a longer name.
pub(super) fn words<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let joins = |byte: Option<&u8>| byte.copied().is_some_and(is_name);
    let (first, last) = (joins(needle.as_bytes().first()), joins(needle.as_bytes().last()));
    code.match_indices(needle).map(|(byte, _)| byte).filter(move |&byte| {
        let before = byte.checked_sub(1).and_then(|byte| code.as_bytes().get(byte));
        let after = code.as_bytes().get(byte + needle.len());
        let longer = (first && joins(before)) || (last && joins(after));
        !longer
    })
}

/// The name at the start of the code, or nothing.
pub(super) fn name(code: &str) -> &str {
    &code[..code.bytes().take_while(|&byte| is_name(byte)).count()]
}

/// The code from its first byte, which opens a bracket, to the bracket that closes it.
pub(super) fn bracketed(code: &str) -> &str {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &code[..=at];
        }
    }
    code
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn comments_and_literals_are_blank() {
    for source in
        ["// x", "/* x /* x */ x */", r#""x \" x""#, "r\"x\\\"", "br##\"x\"# x\"##", "'x'", r"'\''", "b\"x\"", "'ü'"]
    {
        let code = only(&format!("a {source}\n<'b> c"));
        assert!(!code.contains('x') && code.contains("\n<'b> c"), "{source} became {code}");
    }
}

#[test]
fn lifetimes_and_raw_names_stay() {
    for source in ["fn a<'x>(b: &'x str)", "r#type", "'x: loop {}", "for r in b {}"] {
        assert_eq!(only(source), source);
    }
}

#[test]
fn words_are_whole() {
    let found: Vec<usize> = words("print!( eprint!( env::var env::vars unsafe_code unsafe", "print!").collect();
    assert_eq!(found, [0]);
    assert_eq!(words("env::var env::vars", "env::var").count(), 1);
    assert_eq!(words("unsafe_code unsafe", "unsafe").count(), 1);
}

#[test]
fn brackets_match() {
    assert_eq!(bracketed("{ a(b[c]) { d } } e }"), "{ a(b[c]) { d } }");
}
