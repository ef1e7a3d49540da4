//! Files that are, and files that are not, what can be loaded.

use std::path::Path;

use sump::wasm::{Host, LoadError, LoadReason, Unfit};
use tempfile::TempDir;

use crate::guests::guest;

struct Place {
    folder: TempDir,
    host: Host,
}

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().unwrap();
        let host = Host::new(folder.path().join("cache")).unwrap();
        Place { folder, host }
    }

    fn refused(&self, bytes: &[u8]) -> LoadError {
        let path = self.folder.path().join("sink.wasm");
        std::fs::write(&path, bytes).unwrap();
        self.host.load(&path).err().unwrap()
    }
}

#[test]
fn what_is_no_sink_is_refused_with_its_cure() {
    let place = Place::new();
    let whole = std::fs::read(guest("guest-plain")).unwrap();
    let foreign = wat::parse_str(
        r#"(component (import "acme:db/client@1.0.0" (instance (export "f" (func))))
            (instance $i) (export "sump:sink/sink@0.1.0" (instance $i)))"#,
    );
    let other = wat::parse_str(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
    for (bytes, what, cure) in [
        (b"url = 'x'\n".to_vec(), "text file", ".wasm"),
        (whole[..whole.len() / 2].to_vec(), "cut off", "again"),
        (wat::parse_str("(module)").unwrap(), "core module", "wasm32-wasip2"),
        (foreign.unwrap(), "`acme:db/client@1.0.0`", "remove"),
        (other.unwrap(), "`wasi:cli/run@0.2.0`", "wit/sink.wit"),
    ] {
        let message = place.refused(&bytes).to_string();
        assert!(message.contains("sink.wasm") && message.contains(what) && message.contains(cure), "{message}");
    }
    let missing = place.host.load(Path::new("no/such.wasm")).err().unwrap();
    assert!(matches!(missing.reason, LoadReason::Read(_)));
}

#[test]
fn an_import_or_export_of_the_wrong_type_is_refused() {
    let place = Place::new();
    let wrong = wat::parse_str(
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u8)))))
            (instance $i) (export "sump:sink/sink@0.1.0" (instance $i)))"#,
    );
    let error = place.refused(&wrong.unwrap());
    assert!(matches!(error.reason, LoadReason::Link(_)), "{error}");
    assert!(error.to_string().contains("wasi:random/random"), "{error}");
    let empty = wat::parse_str(r#"(component (instance $i) (export "sump:sink/sink@0.1.0" (instance $i)))"#);
    let error = place.refused(&empty.unwrap());
    assert!(error.to_string().contains("describe"), "{error}");
}

#[test]
fn compiled_code_is_kept_and_what_is_wrong_with_it_repaired() {
    let place = Place::new();
    let path = guest("guest-plain");
    let first = place.host.load(&path).unwrap();
    assert!(!first.is_from_cache());
    let again = Host::new(place.folder.path().join("cache")).unwrap().load(&path).unwrap();
    assert!(again.is_from_cache());
    assert_eq!(again.description(), first.description());
    assert_eq!(again.compile_time(), first.compile_time());
    for entry in std::fs::read_dir(place.folder.path().join("cache")).unwrap() {
        let entry = entry.unwrap().path();
        let mut bytes = std::fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&entry, bytes).unwrap();
        assert!(!place.host.load(&path).unwrap().is_from_cache(), "{}", entry.display());
        assert!(place.host.load(&path).unwrap().is_from_cache(), "{}", entry.display());
    }
}

#[test]
fn the_cache_belongs_to_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    Host::new(cache.clone()).unwrap();
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_can_not_be_used_costs_only_the_cache() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let host = Host::new(file).unwrap();
    assert!(!host.load(&guest("guest-plain")).unwrap().is_from_cache());
    let error = host.load(&folder.path().join("file")).err().unwrap();
    assert!(matches!(error.reason, LoadReason::Unfit(Unfit::Empty)));
}
