//! What was tried, in the XML that continuous integration reads: the form that JUnit's tasks for Ant gave it.

use std::fmt::Write;
use std::time::Duration;

use super::report::{Suite, Verdict};

/// A whole file.
pub fn junit(suites: &[Suite]) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let all = || suites.iter().flat_map(|suite| &suite.verdicts);
    element(&mut xml, 0, "testsuites", "sump test", all());
    for suite in suites {
        element(&mut xml, 1, "testsuite", &suite.name, suite.verdicts.iter());
        suite.verdicts.iter().for_each(|verdict| case(&mut xml, suite, verdict));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Opens an element that counts what is in it.
fn element<'a>(xml: &mut String, depth: usize, tag: &str, name: &str, verdicts: impl Iterator<Item = &'a Verdict>) {
    let (mut tests, mut failures, mut took) = (0, 0, Duration::ZERO);
    for verdict in verdicts {
        tests += 1;
        failures += usize::from(!verdict.passed());
        took += verdict.took;
    }
    let (indent, name, time) = ("  ".repeat(depth), escaped(name), took.as_secs_f64());
    let head =
        format!("{indent}<{tag} name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" time=\"{time:.3}\">\n");
    xml.push_str(&head);
}

fn case(xml: &mut String, suite: &Suite, verdict: &Verdict) {
    let (class, name) = (escaped(&suite.name), escaped(&verdict.name));
    let place = match &verdict.place {
        Some(place) => format!(" file=\"{}\" line=\"{}\"", escaped(place.text().name()), place.line_and_column().0),
        None => String::new(),
    };
    let time = verdict.took.as_secs_f64();
    let head = format!("    <testcase classname=\"{class}\" name=\"{name}\"{place} time=\"{time:.3}\"");
    xml.push_str(&head);
    if verdict.passed() {
        xml.push_str("/>\n");
        return;
    }
    let (first, problems) = (verdict.problems.first().map_or("", String::as_str), verdict.problems.join("\n"));
    let failure = format!("      <failure message=\"{}\">{}</failure>\n", escaped(first), escaped(&problems));
    xml.push_str(&format!(">\n{failure}"));
    if !verdict.heard.is_empty() {
        // Writing into a string does not fail.
        writeln!(xml, "      <system-out>{}</system-out>", escaped(&verdict.heard.join("\n"))).ok();
    }
    xml.push_str("    </testcase>\n");
}

/// Text for an attribute or an element. What XML has no place for becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => escaped.push(character),
            _ => escaped.push('?'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, Text};

    #[test]
    fn what_failed_is_told_with_its_place_and_what_was_heard() {
        let place = Place::new(&Text::new("tests/a.toml", "\n[[case]]".to_owned()), 1..9);
        let verdict = |name: &str, problems: &[&str]| Verdict {
            name: name.to_owned(),
            place: Some(place.clone()),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
            heard: problems.iter().map(|_| "\u{1}a line".to_owned()).collect(),
            blessed: false,
            took: Duration::from_millis(1500),
        };
        let verdicts = vec![verdict("a \"b\"", &[]), verdict("c", &["x < y", "z"])];
        let suites = [Suite { name: "tests/a.toml".to_owned(), verdicts }];
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="sump test" tests="2" failures="1" time="3.000">
  <testsuite name="tests/a.toml" tests="2" failures="1" time="3.000">
    <testcase classname="tests/a.toml" name="a &quot;b&quot;" file="tests/a.toml" line="2" time="1.500"/>
    <testcase classname="tests/a.toml" name="c" file="tests/a.toml" line="2" time="1.500">
      <failure message="x &lt; y">x &lt; y&#10;z</failure>
      <system-out>?a line&#10;?a line</system-out>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(junit(&suites), expected);
    }
}
