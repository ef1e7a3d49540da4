//! Files that are known again, and files that are not.

use super::*;
use std::fs;

fn look_at<'a>(
    path: &'a Path,
    file: &'a File,
    metadata: &'a Metadata,
    positions: &'a BTreeMap<Partition, u64>,
) -> Look<'a> {
    Look { path, file, metadata, compression: Compression::Auto, positions }
}

fn look(table: &mut Table, path: &Path, position: Option<(&Partition, u64)>) -> Identity {
    let positions = position.map(|(partition, position)| (partition.clone(), position)).into_iter().collect();
    let file = File::open(path).unwrap();
    let metadata = file.metadata().unwrap();
    let identity = table.identify(&look_at(path, &file, &metadata, &positions)).unwrap();
    // Every look is after a restart.
    *table = Table::from_memo(serde_json::from_str(&table.memo().to_string()).unwrap()).unwrap();
    identity
}

#[test]
fn a_file_is_known_again_when_it_grew_or_was_renamed_but_not_when_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.log"), folder.path().join("b.log"));
    let mut table = Table::default();
    fs::write(&path, "one\n").unwrap();
    let first = look(&mut table, &path, None);
    let Identity::New(partition) = first else { panic!("{first:?}") };
    assert!(partition.as_str().starts_with(&format!("{}@", path.display())), "{partition}");
    assert_eq!(partition.as_str().rsplit('@').next().unwrap().len(), 8);

    fs::write(&path, format!("one\n{}", "more\n".repeat(1000))).unwrap();
    assert_eq!(look(&mut table, &path, Some((&partition, 4))), Identity::Known(partition.clone()));
    fs::rename(&path, &other).unwrap();
    assert_eq!(look(&mut table, &other, Some((&partition, 5004))), Identity::Known(partition.clone()));

    fs::write(&other, format!("one\n{}", "more\n".repeat(500))).unwrap();
    let Identity::Replaced(cut, before) = look(&mut table, &other, Some((&partition, 5004))) else { panic!() };
    assert!(cut != partition && before == partition);
    fs::write(&other, "uno\n".repeat(1000)).unwrap();
    let Identity::Replaced(new, _) = look(&mut table, &other, Some((&cut, 2504))) else { panic!() };
    assert!(new != cut && new.as_str().contains("b.log"));
}

#[test]
fn the_same_file_gets_the_same_name_where_nothing_was_kept_and_never_one_that_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, "one\n").unwrap();
    let first = look(&mut Table::default(), &path, None);
    assert_eq!(look(&mut Table::default(), &path, None), first);
    let used = first.partition();
    assert_ne!(look(&mut Table::default(), &path, Some((used, 4))), first);
}

#[test]
fn a_memo_that_is_not_one_is_refused() {
    assert!(Table::from_memo(serde_json::Value::Null).unwrap().files.is_empty());
    let error = Table::from_memo(serde_json::json!([{"partition": 1}])).unwrap_err();
    assert!(error.message.contains("can't be read"), "{error}");
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut table = Table::default();
    fs::write(&path, "").unwrap();
    let empty = look(&mut table, &path, None).partition().clone();
    let mut memo: Vec<serde_json::Value> = serde_json::from_value(table.memo()).unwrap();
    assert!(memo[0]["born"].as_u64().is_some(), "this file system does not say when files were made: {memo:?}");
    memo[0]["born"] = 1.into();
    let mut table = Table::from_memo(memo.into()).unwrap();
    assert!(matches!(look(&mut table, &path, Some((&empty, 0))), Identity::Replaced(_, before) if before == empty));
}

#[test]
fn a_file_is_known_again_when_its_device_has_another_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut table = Table::default();
    fs::write(&path, "one\n").unwrap();
    let partition = look(&mut table, &path, None).partition().clone();
    let mut memo: Vec<serde_json::Value> = serde_json::from_value(table.memo()).unwrap();
    memo[0]["device"] = 77.into();
    let mut table = Table::from_memo(memo.clone().into()).unwrap();
    assert_eq!(look(&mut table, &path, Some((&partition, 4))), Identity::Known(partition.clone()));
    assert_eq!(table.files().count(), 1);
    // Under another path it takes more than an inode's number and the first bytes.
    memo[0]["path"] = "elsewhere".into();
    let mut table = Table::from_memo(memo.into()).unwrap();
    assert!(matches!(look(&mut table, &path, Some((&partition, 4))), Identity::New(_)));
}

#[test]
fn what_is_gone_is_forgotten_after_a_day_and_what_comes_back_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut table = Table::default();
    fs::write(&path, "one\n").unwrap();
    let partition = look(&mut table, &path, None).partition().clone();
    let inode = Inode::from(&fs::metadata(&path).unwrap());
    assert!(!table.is_gone_for_good(inode, 1000));
    assert!(!table.is_gone_for_good(inode, 999 + REMEMBERED));
    table.renamed(inode, &path);
    assert!(!table.is_gone_for_good(inode, 1000 + REMEMBERED));
    assert!(table.is_gone_for_good(inode, 1000 + 2 * REMEMBERED));
    assert_eq!(table.partition(inode), Some(partition.clone()));
    table.forget(inode, &partition);
    assert_eq!((table.files().count(), table.names.len()), (0, 0));
}

#[test]
fn what_was_kept_before_there_were_paths_and_times_is_still_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut table = Table::default();
    fs::write(&path, "one\n").unwrap();
    let partition = look(&mut table, &path, None).partition().clone();
    let mut memo: Vec<serde_json::Value> = serde_json::from_value(table.memo()).unwrap();
    memo[0]
        .as_object_mut()
        .unwrap()
        .retain(|key, _| ["partition", "device", "inode", "head", "hash"].contains(&&**key));
    let mut table = Table::from_memo(memo.into()).unwrap();
    assert_eq!(look(&mut table, &path, Some((&partition, 4))), Identity::Known(partition));
}
