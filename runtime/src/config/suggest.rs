//! The name that was probably meant.

/// The one of `known` that is spelled most like `name`, if any comes near.
pub(super) fn near<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = plain(name);
    let allowed = 1.max(name.chars().count() / 3);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(candidate)), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names that differ only by case and by how their words are joined are the same here.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// The remedy for a name that is not known: the near one, or all there are.
pub(super) fn remedy(name: &str, known: &[&str], what: &str) -> String {
    match near(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{what}: {}", list(known)),
    }
}

/// Names in a row, for messages.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = ["batch_size", "batch_bytes", "timeout", "path"];
        for (name, expected) in [
            ("batchsize", Some("batch_size")),
            ("Batch-Size", Some("batch_size")),
            ("tiemout", Some("timeout")),
            ("paths", Some("path")),
            ("url", None),
            ("x", None),
        ] {
            assert_eq!(near(name, &known), expected, "{name}");
        }
    }
}
