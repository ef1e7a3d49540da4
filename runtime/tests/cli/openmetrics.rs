//! A strict reader of the OpenMetrics text format, version 1.0.0: what it does not know is an error.

use std::collections::BTreeMap;

/// The labels of a sample, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// One metric with its samples.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) help: String,
    /// By the whole name of the sample and its labels.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
}

/// Everything that was exposed.
#[derive(Debug, Default)]
pub(crate) struct Exposed(pub(crate) BTreeMap<String, Family>);

impl Exposed {
    /// The value of a sample that has these labels, and perhaps others. Fails when it is not the only one.
    #[track_caller]
    pub(crate) fn of(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.0.values().flat_map(|family| &family.samples);
        let has = |of: &Labels| labels.iter().all(|(label, value)| of.get(*label).is_some_and(|is| is == value));
        let found: Vec<f64> = all.filter(|((n, of), _)| n == name && has(of)).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0]
    }
}

/// Reads all of it. The error tells the line.
pub(crate) fn read(text: &str) -> Result<Exposed, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("does not end in `# EOF`")?;
    let mut exposed = Exposed::default();
    let mut current = String::new();
    for line in body.lines() {
        let failed = |what: &str| format!("{what}: {line}");
        match line.strip_prefix("# ") {
            Some(described) => describe(described, &mut current, &mut exposed).map_err(|what| failed(&what))?,
            None => {
                let family = exposed.0.get_mut(&current).ok_or_else(|| failed("before any description"))?;
                sample(line, &current, family).map_err(|what| failed(&what))?;
            }
        }
    }
    exposed.0.iter().try_for_each(|(name, family)| whole(name, family))?;
    Ok(exposed)
}

fn describe(described: &str, current: &mut String, exposed: &mut Exposed) -> Result<(), String> {
    let mut words = described.splitn(3, ' ');
    let (Some(what), Some(name), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Err("not a description".into());
    };
    if !is_name(name) {
        return Err("not a name".into());
    }
    if *current != name {
        if exposed.0.contains_key(name) {
            return Err("a family that was described before".into());
        }
        *current = name.to_owned();
    }
    let family = exposed.0.entry(name.to_owned()).or_default();
    if !family.samples.is_empty() {
        return Err("a description after samples".into());
    }
    let known = ["counter", "gauge", "histogram", "info"];
    let field = match what {
        "HELP" => &mut family.help,
        "UNIT" if name.ends_with(&format!("_{text}")) => &mut family.unit,
        "TYPE" if known.contains(&text) => &mut family.kind,
        _ => return Err("not allowed".into()),
    };
    if !field.is_empty() || text.is_empty() {
        return Err("said twice, or nothing".into());
    }
    *field = text.to_owned();
    Ok(())
}

fn sample(line: &str, family_name: &str, family: &mut Family) -> Result<(), String> {
    let name = &line[..line.find(['{', ' ']).ok_or("no value")?];
    let suffix = name.strip_prefix(family_name).ok_or("of another family")?;
    let (labels, value) = match line[name.len()..].strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), &line[name.len()..]),
    };
    let value = value.strip_prefix(' ').filter(|value| !value.contains(' ')).ok_or("not one value")?;
    let value: f64 = value.parse().map_err(|_| "not a number")?;
    let fits = match (family.kind.as_str(), suffix) {
        ("gauge", "") => true,
        ("counter", "_total") | ("histogram", "_sum" | "_count") => value >= 0.0,
        ("histogram", "_bucket") => value >= 0.0 && labels.contains_key("le"),
        ("info", "_info") => value == 1.0,
        _ => false,
    };
    if !fits {
        return Err(format!("not a sample of a {}", family.kind));
    }
    match family.samples.insert((name.to_owned(), labels), value) {
        None => Ok(()),
        Some(_) => Err("twice".into()),
    }
}

/// What stands in braces, and what follows them.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, value) = rest.split_once("=\"").ok_or("not a label")?;
        let (text, behind) = quoted(value)?;
        if !is_name(name) || labels.insert(name.to_owned(), text).is_some() {
            return Err(format!("label `{name}` can't be so"));
        }
        match behind.split_at_checked(1) {
            Some((",", more)) => rest = more,
            Some(("}", value)) => return Ok((labels, value)),
            _ => return Err("labels don't end".into()),
        }
    }
}

/// Text up to a quotation mark, and what follows that.
fn quoted(value: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut characters = value.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((text, &value[at + 1..])),
            '\\' => text.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                _ => return Err("not an escape".into()),
            }),
            other => text.push(other),
        }
    }
    Err("a value does not end".into())
}

/// A histogram's buckets grow up to its count, which the last one has.
fn whole(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || family.help.is_empty() {
        return Err(format!("{name} is not described"));
    }
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((sample, labels), value) in &family.samples {
        if sample.ends_with("_bucket") && family.kind == "histogram" {
            let mut others = labels.clone();
            let bound = others.remove("le").and_then(|bound| bound.parse().ok()).ok_or("`le` is no number")?;
            series.entry(others).or_default().push((bound, *value));
        }
    }
    for (labels, mut buckets) in series {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = family.samples.get(&(format!("{name}_count"), labels.clone()));
        let grows = buckets.is_sorted_by(|a, b| a.1 <= b.1);
        if !grows || buckets.last().is_none_or(|last| last.0 != f64::INFINITY || Some(&last.1) != count) {
            return Err(format!(
                "the buckets of {name} {labels:?} are not those of a histogram: {buckets:?}, {count:?}"
            ));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[test]
fn what_is_not_openmetrics_is_refused() {
    let histogram = "# HELP h_seconds x\n# TYPE h_seconds histogram\n# UNIT h_seconds seconds\nh_seconds_sum 1.5\n\
                     h_seconds_count 2\nh_seconds_bucket{le=\"1.0\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
    let counter = "# HELP a x y\n# TYPE a counter\na_total{b=\"c\\\"\\n\",d=\"\"} 3\n# EOF\n";
    assert_eq!(read(counter).unwrap().of("a_total", &[("b", "c\"\n")]), 3.0);
    assert_eq!(read(histogram).unwrap().of("h_seconds_sum", &[]), 1.5);
    for (right, from, to) in [
        (counter, "# EOF\n", ""),
        (counter, "a_total", "a"),
        (counter, "a_total", "b_total"),
        (counter, " 3", ""),
        (counter, " 3", " -3"),
        (counter, " 3", " three"),
        (counter, "d=", "b="),
        (counter, "\\n", "\\t"),
        (counter, "# HELP a x y\n", ""),
        (counter, "# TYPE a counter\n", "# TYPE a rate\n"),
        (counter, "# EOF", "# HELP a again\n# EOF"),
        (counter, "# EOF", "a_total{d=\"\",b=\"c\\\"\\n\"} 3\n# EOF"),
        (histogram, "UNIT h_seconds seconds", "UNIT h_seconds bytes"),
        (histogram, "h_seconds_count 2", "h_seconds_count 3"),
        (histogram, "\"1.0\"} 1", "\"1.0\"} 5"),
        (histogram, "+Inf", "2"),
    ] {
        assert!(right.contains(from) && read(&right.replacen(from, to, 1)).is_err(), "{from} as {to}");
    }
}
