//! The values of a list in a JSON text.

use super::json::{self, Step, Unreadable};

/// The values of the list to which a JSON pointer leads (RFC 6901; empty: the text is the list), as they are written.
/// None where there is no such list, or it does not end.
pub fn elements<'a>(json: &'a [u8], pointer: &str) -> Option<Vec<&'a [u8]>> {
    let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let list = steps.map(Box::from).try_fold(json, |json, step: Box<str>| descend(json, &step)).ok()?;
    json::elements(list).collect::<Result<_, _>>().ok()
}

/// The value under one step of a JSON pointer. One that is a number is a place in a list or a name in a map.
pub(super) fn descend<'a>(json: &'a [u8], step: &str) -> Result<&'a [u8], Unreadable> {
    let in_list = json.trim_ascii_start().starts_with(b"[");
    let step = if in_list { Step::Index(step.parse().map_err(|_| Unreadable)?) } else { Step::Name(step.into()) };
    json::find(json, &[step])?.ok_or(Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_found_wherever_it_is() {
        let found = |json: &'static str, pointer| {
            elements(json.as_bytes(), pointer)
                .map(|items| items.into_iter().map(|item| str::from_utf8(item).unwrap()).collect())
        };
        let items = |items: &[&'static str]| Some(items.to_vec());
        assert_eq!(found(r#"[1, {"a":[2]} ,"x"]"#, ""), items(&["1", r#"{"a":[2]}"#, r#""x""#]));
        assert_eq!(found(r#"{"a/b":{"c":[[], [7,8]]}}"#, "/a~1b/c/1"), items(&["7", "8"]));
        assert_eq!(found(r#"{"a":[]}"#, "/a"), items(&[]));
        for (json, pointer) in [("{}", ""), ("{}", "/a"), ("[1", ""), (r#"{"a":[1,"#, "/a"), ("", ""), ("[1]", "/x")] {
            assert_eq!(found(json, pointer), None, "{json} {pointer}");
        }
    }
}
