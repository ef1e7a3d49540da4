//! The interfaces that a component may import, and the line of configuration that opens what they are for.

/// The last patch version of WASI 0.2 that the host speaks.
pub(super) const LATEST_0_2: u32 = 12;

/// What an import may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name, such as `wasi:http/outgoing-handler@0.2.6`.
    pub name: String,
    /// What a component could do with it, for people.
    pub purpose: &'static str,
    /// The configuration that opens it; absent where nothing needs to be granted.
    pub grant: Option<&'static str>,
}

impl Import {
    pub(super) fn of(name: &str) -> Import {
        let known = INTERFACES.iter().find(|(prefix, ..)| name.starts_with(prefix));
        let (_, purpose, grant) = known.copied().unwrap_or(("", "types of the contract", None));
        Import { name: name.to_owned(), purpose, grant }
    }
}

/// The line that opens directories.
pub(super) const GRANT_DIRS: &str = "allow.dirs = [{ host = \"…\", guest = \"/…\", access = \"read-only\" }]";
/// The line that opens environment variables.
pub(super) const GRANT_ENV: &str = "allow.env = [\"NAME\"]";

/// The line that opens connections.
pub(super) const GRANT_TCP: &str = "allow.tcp = [\"HOST:PORT\"]";

/// By the beginning of the name; the first that fits counts.
const INTERFACES: &[(&str, &str, Option<&str>)] = &[
    ("wasi:http/", "send HTTP requests", Some("allow.http = [{ to = \"https://…\" }]")),
    ("wasi:filesystem/", "read or write files", Some(GRANT_DIRS)),
    ("wasi:sockets/", "open connections and look up names", Some(GRANT_TCP)),
    ("wasi:cli/environment", "read environment variables", Some(GRANT_ENV)),
    ("wasi:cli/", "print, which becomes log records", None),
    ("wasi:clocks/", "read clocks and wait", None),
    ("wasi:random/", "draw random numbers", None),
    ("wasi:io/", "wait for input and output", None),
];

/// Whether the host has an interface of that name.
pub(super) fn is_known(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else { return false };
    if interface.starts_with("sump:sink/") {
        return version == super::binary::CONTRACT;
    }
    let wasi = INTERFACES.iter().any(|(prefix, ..)| interface.starts_with(prefix));
    let patch = version.strip_prefix("0.2.").and_then(|patch| patch.parse::<u32>().ok());
    wasi && (patch.is_some_and(|patch| patch <= LATEST_0_2) || version == "0.3.0")
}

/// Whether a name is of WASI 0.3.
pub(super) fn is_0_3(name: &str) -> bool {
    name.starts_with("wasi:") && name.ends_with("@0.3.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_that_are_linked_are_known() {
        assert!(is_known("wasi:http/types@0.2.12"));
        assert!(is_known("wasi:http/client@0.3.0"));
        assert!(is_known("sump:sink/events@0.1.0"));
        for name in
            ["wasi:http/types@0.2.13", "wasi:http/types@0.3.1", "sump:sink/events@0.2.0", "wasi:nn/graph@0.2.0", "f"]
        {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn an_import_names_the_line_that_opens_it() {
        assert!(Import::of("wasi:http/types@0.2.6").grant.unwrap().starts_with("allow.http"));
        assert!(Import::of("wasi:cli/environment@0.2.6").grant.unwrap().starts_with("allow.env"));
        assert_eq!(Import::of("wasi:cli/stdout@0.2.6").grant, None);
    }
}
