//! Conditions over whole batches: real events, and one case for each shape and each way to fail.

use arrow_array::{Array, BinaryArray, TimestampMillisecondArray, UInt64Array};

use super::{Condition, Verdicts};
use crate::batch::Batch;
use crate::batch::{BatchBuilder, Event, Origin, Partition, RowSet};

const QUAKES: &str = include_str!("../../../data/earthquakes.ndjson");

/// One event a line.
pub(super) fn lines(text: &str) -> Batch {
    let payload = BinaryArray::from_iter_values(text.lines());
    let rows = payload.len();
    let origin = Origin::single(Partition::new("quakes/0"), UInt64Array::from_iter_values(0..rows as u64));
    Batch::new(payload, TimestampMillisecondArray::from(vec![0; rows]), origin).unwrap()
}

fn asked(condition: &str, batch: &Batch) -> Verdicts {
    Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}")).evaluate(batch)
}

fn counts(condition: &str, batch: &Batch) -> (usize, usize) {
    let verdicts = asked(condition, batch);
    assert!(verdicts.holds.intersection(&verdicts.failed).is_empty(), "{condition}");
    (verdicts.holds.len(), verdicts.failed.len())
}

/// What a condition says of one event: it holds, does not, or fails.
fn verdict(condition: &str, batch: &Batch) -> Option<bool> {
    match counts(condition, batch) {
        (1, 0) => Some(true),
        (0, 0) => Some(false),
        (0, 1) => None,
        other => panic!("{condition}: {other:?}"),
    }
}

#[test]
fn it_holds_for_the_quakes_that_it_names() {
    let quakes = lines(QUAKES);
    let cases = [
        ("event.mag >= 4.5", (85, 0)),
        ("4.5 <= event.mag", (85, 0)),
        ("!(event.mag < 4.5)", (85, 0)),
        ("double(event.mag) >= 4.5", (85, 0)),
        ("event.felt == null", (1580, 0)),
        ("event.felt > 10", (25, 1580)),
        ("event.felt != null && event.felt > 10", (25, 0)),
        ("event.felt > 10 || event.felt == null", (1605, 0)),
        ("has(event.felt)", (1707, 0)),
        ("has(event.depth_km)", (0, 0)),
        ("event.depth_km > 10", (0, 1707)),
        ("event.place.endsWith('Alaska') && event.net == 'ak'", (291, 0)),
        ("event.net in ['ak', 'ci']", (683, 0)),
        ("event.place.matches('^[0-9]+km N')", (562, 0)),
        ("event.id.size() > 10", (62, 0)),
        ("true", (1707, 0)),
        ("false", (0, 0)),
    ];
    for (condition, expected) in cases {
        assert_eq!(counts(condition, &quakes), expected, "{condition}");
    }
}

#[test]
fn neighbours_are_one_range() {
    let verdicts = asked("event > 1", &lines("1\n2\n3\nx\n\"a\"\n0\n4"));
    assert_eq!(verdicts.holds.ranges(), [1..3, 6..7]);
    assert_eq!(verdicts.failed, RowSet::range(3..5));
    assert_eq!(asked("event > 1", &lines("")), Verdicts::default());
}

/// The table of `docs/conditions.md`.
#[test]
fn values_compare_as_the_docs_say() {
    let event = r#"{"int":5,"whole":5.0,"double":5.5,"big":18446744073709551615,"huge":1e300,"negative":-1,"none":null,
        "text":"5","yes":true,"list":[5],"map":{"a":5},"minus":-0,"exponent":5e0}"#
        .replace('\n', "");
    let cases = [
        ("event.int == 5.0", Some(true)),
        ("event.whole == 5", Some(true)),
        ("event.whole == 5u", Some(true)),
        ("event.exponent == 5", Some(true)),
        ("event.double > 5", Some(true)),
        ("event.int < 5.5", Some(true)),
        ("event.big > 9223372036854775807", Some(true)),
        ("event.big == 18446744073709551615u", Some(true)),
        ("event.negative < 0u", Some(true)),
        ("event.huge > event.big", Some(true)),
        ("event.minus == 0", Some(true)),
        ("event.none == null", Some(true)),
        ("event.none == 0", Some(false)),
        ("event.int == null", Some(false)),
        ("event.int != null", Some(true)),
        ("event.none > 0", None),
        ("event.none <= null", None),
        ("event.missing == null", None),
        ("event.missing > 0", None),
        ("event.text == 5", Some(false)),
        ("event.text > 5", None),
        ("event.text > '4'", Some(true)),
        ("event.yes == true", Some(true)),
        ("event.yes > false", Some(true)),
        ("event.yes == 1", Some(false)),
        ("event.yes", Some(true)),
        ("event.int", None),
        ("!event.none", None),
        ("event.list == 5", Some(false)),
        ("event.list == [5.0]", Some(true)),
        ("event.map == {'a': 5}", Some(true)),
        ("{'a': 5} == event.map", Some(true)),
        ("event.list > 4", None),
        ("event.int in [4, 5.0]", Some(true)),
        ("event.none in [null]", Some(true)),
        ("event.missing in [1]", None),
        ("5 in event.list", Some(true)),
        ("'a' in event.map", Some(true)),
        ("event.int + 1 == 6", Some(true)),
        ("event.int + 1.0 == 6.0", None),
        ("double(event.int) + 1.0 == 6.0", Some(true)),
        ("event.int % 2 == 1", Some(true)),
    ];
    for (condition, expected) in cases {
        assert_eq!(verdict(condition, &lines(&event)), expected, "{condition}");
    }
}

#[test]
fn an_error_beside_what_decides_does_not_matter() {
    let event = lines(r#"{"a":1}"#);
    let cases = [
        ("event.b == 1 && false", Some(false)),
        ("false && event.b == 1", Some(false)),
        ("event.b == 1 || true", Some(true)),
        ("true || event.b == 1", Some(true)),
        ("event.b == 1 && true", None),
        ("true && event.b == 1", None),
        ("event.b == 1 || false", None),
        ("event.b == 1 || event.a == 1", Some(true)),
        ("event.a && false", Some(false)),
        ("!(event.b == 1)", None),
        ("has(event.b) && event.b == 1", Some(false)),
        ("!has(event.b) || event.b == 1", Some(true)),
        ("has(event.b) ? event.b == 1 : event.a == 1", Some(true)),
    ];
    for (condition, expected) in cases {
        assert_eq!(verdict(condition, &event), expected, "{condition}");
    }
}

#[test]
fn fields_are_found_by_their_way() {
    let event = lines(r#" { "a" : { "b c" : [ 10 , { "d" : "x" } ] , "e" : { } } , "k\u0065y" : 1 , "z" : [ ] } "#);
    let cases = [
        ("event.a['b c'][0] == 10", Some(true)),
        ("event['a']['b c'][1].d == 'x'", Some(true)),
        ("event.a['b c'][2] == 10", None),
        ("event.a['b c'][-1] == 10", None),
        ("event.z[0] == 1", None),
        ("event.key == 1", Some(true)),
        ("has(event.key)", Some(true)),
        ("has(event.a.e)", Some(true)),
        ("has(event.a.e.f)", Some(false)),
        ("has(event.a.f)", Some(false)),
        ("has(event.b.c)", None),
        ("has(event.key.c)", None),
        ("event.a['b c'].size() == 2", Some(true)),
        ("size(event.a) == 2", Some(true)),
        ("size(event.a.e) == 0", Some(true)),
        ("size(event.key) == 1", None),
        ("event.a['b c'].exists(x, x == 10)", Some(true)),
        ("event[event.a['b c'][1].d] == 1", None),
        ("event.a.map(k, k).size() == 2", Some(true)),
        ("[1, 2].exists(event, event == 2)", Some(true)),
        ("[1, 2].exists(x, .event.key == x)", Some(true)),
    ];
    for (condition, expected) in cases {
        assert_eq!(verdict(condition, &event), expected, "{condition}");
    }
}

#[test]
fn the_first_of_repeated_names_counts_and_the_rest_is_not_read() {
    let repeated = lines(r#"{"a":1,"a":2,"m":{"x":1,"x":2}}"#);
    for condition in
        ["event.a == 1", "event.a + 0 == 1", "event['' + 'a'] == 1", "event.m == {'x': 1}", "size(event.m) == 1"]
    {
        assert_eq!(verdict(condition, &repeated), Some(true), "{condition}");
    }
    let torn = lines(r#"{"a":1,"b":[1,,2],"c":tru,"d":"torn"#);
    let cases = [
        ("event.a == 1", Some(true)),
        ("event.a + 0 == 1", Some(true)),
        ("event.b == null", Some(false)),
        ("event.b == [1]", Some(false)),
        ("size(event.b) == 3", None),
        ("event.b.exists(x, x == 1)", None),
        ("event.c == true", None),
        ("event.d == 'torn'", None),
        ("has(event.c)", Some(true)),
        ("has(event.e)", None),
    ];
    for (condition, expected) in cases {
        assert_eq!(verdict(condition, &torn), expected, "{condition}");
    }
}

#[test]
fn what_is_not_json_fails() {
    for payload in [
        "",
        " ",
        "garbage",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{a:1}",
        "[1]",
        "7",
        "\"a\"",
        "{\"a\":1e999}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":\"\\q\"}",
        "{\"a\":}",
    ] {
        let event = Event { payload: Some(payload.as_bytes()), ..Event::default() };
        let batch = one(event);
        assert_eq!(verdict("event.a == 1", &batch), None, "{payload}");
        assert_eq!(verdict("event.a + 0 == 1", &batch), None, "{payload}");
    }
    assert_eq!(verdict("event.a == 1", &one(Event::default())), None, "a tombstone");
    assert_eq!(verdict("event.a != 'x'", &one(Event { payload: Some(b"{\"a\":\"\xff\"}"), ..Event::default() })), None);
}

#[test]
fn a_payload_of_brackets_costs_an_error_and_not_the_stack() {
    let deep = "[".repeat(1 << 20);
    let event = format!(r#"{{"a":{deep}{},"b":1}}"#, "]".repeat(1 << 20));
    assert_eq!(verdict("event.b == 1", &lines(&event)), Some(true));
    assert_eq!(verdict("event.a == [1]", &lines(&event)), Some(false));
    assert_eq!(verdict("size(event.a) == 1", &lines(&event)), Some(true));
    assert_eq!(verdict("event.b == 1", &lines(&format!(r#"{{"a":{deep}"#))), None);
}

pub(super) fn one(event: Event) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(&Partition::new("quakes/3"), event);
    builder.finish().unwrap()
}

#[test]
fn variables_are_what_the_docs_say() {
    let headers: &[(&[u8], &[u8])] =
        &[(b"level", b"error"), (b"level", b"info"), (b"trace-id", b"7"), (b"bad", b"\xff")];
    let full = one(Event {
        payload: Some(b"plain text"),
        key: Some(b"k-1"),
        timestamp: 1_517_363_399_650,
        headers,
        position: 9,
    });
    let bare = one(Event { payload: None, ..Event::default() });
    let cases = [
        ("key == 'k-1'", Some(true), Some(false)),
        ("key == null", Some(false), Some(true)),
        ("key.startsWith('k')", Some(true), None),
        ("headers.level == 'error'", Some(true), None),
        ("headers['trace-id'] == '7'", Some(true), None),
        ("headers.bad != 'x'", None, None),
        ("has(headers.level)", Some(true), Some(false)),
        ("'level' in headers", Some(true), Some(false)),
        ("'bad' in headers", Some(true), Some(false)),
        ("headers.level in ['error', 'fatal']", Some(true), None),
        ("headers.exists(name, name == 'trace-id')", Some(true), Some(false)),
        ("headers.exists(name, headers[name] == 'error')", Some(true), Some(false)),
        ("size(headers) == 3", Some(true), Some(false)),
        ("headers.size() == 0", Some(false), Some(true)),
        ("timestamp > timestamp('2018-01-31T00:00:00Z')", Some(true), Some(false)),
        ("timestamp == timestamp('2018-01-31T01:49:59.650Z')", Some(true), Some(false)),
        ("timestamp.getFullYear() == 2018", Some(true), Some(false)),
        ("timestamp + duration('1h') > timestamp('2018-01-31T02:00:00Z')", Some(true), Some(false)),
        ("partition == 'quakes/3'", Some(true), Some(true)),
        ("raw.contains('text')", Some(true), None),
        ("raw == null", Some(false), Some(true)),
        ("raw.size() == 10", Some(true), None),
        ("size(raw) > 2 + 3", Some(true), None),
        ("matches(raw, '^pl.*t$')", Some(true), None),
    ];
    for (condition, of_full, of_bare) in cases {
        assert_eq!(verdict(condition, &full), of_full, "{condition}");
        assert_eq!(verdict(condition, &bare), of_bare, "{condition} of a bare event");
    }
    let binary = one(Event { payload: Some(b"\xff"), timestamp: i64::MAX, ..Event::default() });
    assert_eq!(verdict("raw == ''", &binary), None);
    assert_eq!(verdict("timestamp > timestamp('2018-01-31T00:00:00Z')", &binary), None);
}

#[test]
fn only_those_that_name_the_payload_read_it() {
    let reads = |text: &str| Condition::parse(text).unwrap().reads_payload();
    assert!(reads("event.a == 1") && reads("has(event.a)") && reads("raw == ''"));
    assert!(!reads(
        "key == 'a' && headers.a == 'b' && partition == 'c' && timestamp == timestamp('2018-01-31T00:00:00Z')"
    ));
    assert!(!reads("['a'].exists(event, event == key)"));
}

#[test]
fn a_slice_of_a_batch_is_asked_like_a_batch() {
    let quakes = lines(QUAKES);
    let whole = asked("event.mag >= 4.5", &quakes).holds;
    let part = asked("event.mag >= 4.5", &quakes.slice(500..900)).holds;
    assert_eq!(part, whole.within(&RowSet::range(500..900)));
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    let cases = [
        ("", 1, "a condition is empty"),
        ("evnt.mag > 4", 1, "unknown variable `evnt`: did you mean `event`?"),
        ("mag > 4", 1, "unknown variable `mag`: fields of the payload are `event.mag`"),
        ("event.x == 'ä' && headrs.a == 'b'", 19, "did you mean `headers`?"),
        ("event.a.exists(x, y > 1)", 19, "unknown variable `y`"),
        ("event.a.all(x, x > 1) && x > 2", 26, "unknown variable `x`"),
        ("event.id.startWith('a')", 10, "unknown function `startWith`: did you mean `startsWith`?"),
        ("lower(event.id) == 'a'", 1, "unknown function `lower`: there are `bool`"),
        ("startsWith(event.id, 'a')", 1, "`startsWith` is called as `x.startsWith(…)`"),
        ("event.x.timestamp() == key", 9, "`timestamp` is called as `timestamp(x)`"),
        ("event.x.exists(a)", 9, "`exists` is used as `list.exists(x, condition)`"),
        ("has(event)", 5, "invalid argument to has() macro"),
        ("event.mag >", 12, "expected a value such as `event.mag`"),
        ("event.mag = 4", 11, "`=` is no operator: `==` compares"),
        ("event.mag > 4 & true", 15, "`&` is no operator: `&&` is and"),
        ("event.a || event.b | event.c", 20, "`|` is no operator: `||` is or"),
        ("event.mag > 4 and true", 15, "`and` is written `&&`"),
        ("event.mag > 4 or true", 15, "`or` is written `||`"),
        ("not event.a", 5, "`not` is written `!`"),
        ("(event.mag > 4", 15, "expected `)` before the end"),
        ("event.mag > 4)", 14, "unexpected `)`: expected the end"),
        ("event.a event.b", 9, "unexpected `event`: expected an operator such as `==`"),
        ("event.null == 1", 7, "`null` is a word of CEL: such a field is `event[\"null\"]`"),
        ("event.in == 1", 7, "`in` is a word of CEL"),
        ("event.id == 'abc", 13, "the text has no end: expected `'`"),
        ("event.a == 1 # x", 14, "`#` has no meaning here"),
        ("event.?a == 1", 6, "unsupported syntax"),
        ("Foo{a: 1} == 1", 4, "there is no type `Foo`"),
        ("4.5", 1, "this is a number"),
        ("'yes'", 1, "this is a text"),
        ("event.mag + 1", 11, "this is a sum"),
        ("size(event.id)", 5, "this is a number"),
        ("event.id.matches('a(')", 18, "`a(` is no regular expression: unclosed group"),
        ("[event.id].exists(x, x.matches('['))", 32, "`[` is no regular expression"),
        ("timestamp > timestamp('yesterday')", 23, "expected one such as `timestamp(\"2018-01-31T00:00:00Z\")`"),
        ("timestamp - timestamp > duration('1 hour')", 34, "expected one such as `duration(\"1h30m\")`"),
    ];
    for (text, column, message) in cases {
        let error = Condition::parse(text).err().unwrap_or_else(|| panic!("{text} is a condition"));
        assert_eq!((error.column(text), error.message.contains(message)), (Some(column), true), "{text}: {error:?}");
    }
}

#[test]
fn a_condition_is_its_text_in_a_document() {
    let condition: Condition = serde_json::from_str(r#""event.a == 1""#).unwrap();
    assert_eq!(serde_json::to_string(&condition).unwrap(), r#""event.a == 1""#);
    assert_eq!(format!("{condition} {condition:?}"), r#"event.a == 1 Condition("event.a == 1")"#);
    let error = serde_json::from_str::<Condition>(r#""evnt.a == 1""#).unwrap_err();
    assert!(error.to_string().starts_with("unknown variable `evnt`: did you mean `event`? (column 1)"), "{error}");
}

#[test]
fn a_condition_may_cross_threads() {
    fn crosses<T: Send + Sync + Clone + std::fmt::Debug>() {}
    crosses::<Condition>();
    crosses::<super::Template>();
}
