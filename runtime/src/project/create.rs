//! Makes new projects.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::template::{Template, Values};
use super::{Language, Shape};

/// What to make.
#[derive(Debug)]
pub struct NewProject {
    /// The project's name: that of its folder, its package and its component.
    pub name: String,
    /// The folder that it is made in.
    pub parent: PathBuf,
    /// Its language.
    pub language: Language,
    /// What it makes.
    pub shape: Shape,
    /// The folder of the SDKs, one folder a language in it.
    pub sdk: PathBuf,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// Not a name that every language takes.
    #[error(
        "`{0}` is no name for a project: small letters, digits and `-`, such as `my-sink`, beginning with a letter"
    )]
    Name(String),
    /// A name that means something else already.
    #[error("`{0}` has a meaning of its own in {1}: choose another name, such as `my-{0}`")]
    Reserved(String, Language),
    /// The language has no such shape.
    #[error("{language}: {why}")]
    Shape {
        /// The language.
        language: Language,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// There is something of that name.
    #[error("{}: is there already", .0.display())]
    Taken(PathBuf),
    /// The SDK is not there.
    #[error("{}: there is no SDK for {language} in it: `--sdk` names the folder `guest-sdk` of Sump's source", folder.display())]
    NoSdk {
        /// Where it should be.
        folder: PathBuf,
        /// The language.
        language: Language,
    },
    /// The SDK's path has characters that files of projects can't hold.
    #[error("{}: a path with quotes, backslashes or control characters, or for C with blanks or one of `#$%:`, can't stand in a \
             project's files", .0.display())]
    SdkPath(PathBuf),
    /// A file can't be written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Names that Cargo, the compiler or the SDK have taken.
const TAKEN_IN_RUST: &str = "\
    abstract alloc as async await become box break build const continue core crate deps do dyn else enum \
    examples extern false final fn for gen if impl in incremental let loop macro match mod move mut override \
    priv proc-macro pub ref return schemars self serde serde-json static std struct sump-sdk super test trait \
    true try type typeof unsafe unsized use virtual where while yield";

/// Modules of the sink would hide those that it, or a tool, imports under the same name.
const TAKEN_IN_PYTHON: &str = "\
    and as assert async await break class continue dataclasses def del elif else except finally for from \
    global if import in is json lambda logging nonlocal not or pass pytest raise return sump sump-entry \
    sump-sdk test tests try typing while with wit-world yield";

/// Packages that a project depends on: it can't be one of them itself.
const TAKEN_IN_TYPESCRIPT: &str = "esbuild sump-sdk tsx typescript";

/// Names that mean something else in a language.
fn is_reserved(name: &str, language: Language) -> bool {
    let taken = match language {
        Language::Rust => TAKEN_IN_RUST,
        Language::Go => "main test",
        Language::Python => TAKEN_IN_PYTHON,
        Language::TypeScript => TAKEN_IN_TYPESCRIPT,
        // What is in a file of its own name, and no more.
        Language::C => "",
    };
    taken.split_whitespace().any(|one| one == name)
}

/// Makes the project, and returns its folder. A folder that is begun and can't be finished is removed again.
pub fn new_project(new: &NewProject) -> Result<PathBuf, NewError> {
    let NewProject { name, language, .. } = new;
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-')
        && !name.contains("--");
    if !good || name.len() > 64 {
        return Err(NewError::Name(name.clone()));
    }
    if is_reserved(name, *language) {
        return Err(NewError::Reserved(name.clone(), *language));
    }
    let template = Template::of(*language, new.shape).map_err(|why| NewError::Shape { language: *language, why })?;
    let values = Values { name, sdk: &sdk_path(new)? };
    let folder = new.parent.join(name);
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => NewError::Taken(folder.clone()),
        _ => NewError::File { path: folder.clone(), error },
    })?;
    match write(&folder, template, &values) {
        Ok(()) => Ok(folder),
        Err(error) => {
            // Nobody else has put anything into it; what stays behind is told by the error as well.
            fs::remove_dir_all(&folder).ok();
            Err(error)
        }
    }
}

fn write(folder: &Path, template: &Template, values: &Values<'_>) -> Result<(), NewError> {
    for (path, text) in template.files {
        let path = folder.join(template.fill(path, values));
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = parent.and_then(|()| fs::write(&path, template.fill(text, values)));
        written.map_err(|error| NewError::File { path, error })?;
    }
    Ok(())
}

/// The SDKs' folder, as the project's files name it.
fn sdk_path(new: &NewProject) -> Result<String, NewError> {
    let missing = || NewError::NoSdk { folder: new.sdk.clone(), language: new.language };
    let folder = fs::canonicalize(&new.sdk).map_err(|_| missing())?;
    if Language::of(&folder.join(new.language.name())).ok() != Some(new.language) {
        return Err(missing());
    }
    // What `make` reads as something else.
    let special = if new.language == Language::C { " #$%:" } else { "" };
    let is_bad = |c: char| c.is_control() || c == '"' || c == '\\' || special.contains(c);
    let path = folder.to_str().filter(|path| !path.contains(is_bad));
    path.map(str::to_owned).ok_or(NewError::SdkPath(folder.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");

    fn order(parent: &Path, name: &str, language: Language, shape: Shape) -> NewProject {
        NewProject { name: name.to_owned(), parent: parent.to_owned(), language, shape, sdk: SDK.into() }
    }

    #[test]
    fn a_project_is_one_that_build_knows() {
        let parent = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let name = format!("my-{language}");
            let folder = new_project(&order(parent.path(), &name, language, Shape::Sink)).unwrap();
            assert_eq!(folder, parent.path().join(&name));
            assert_eq!(Language::of(&folder).unwrap(), language);
            let again = new_project(&order(parent.path(), &name, language, Shape::Sink)).unwrap_err();
            assert!(matches!(again, NewError::Taken(_)), "{again}");
        }
    }

    #[test]
    fn a_name_is_one_that_the_language_takes() {
        let parent = tempfile::tempdir().unwrap();
        let refused = |name: &str, language| {
            new_project(&order(parent.path(), name, language, Shape::Sink)).unwrap_err().to_string()
        };
        for name in ["", "1st", "My", "a_b", "a b", "../a", "a/b", "-a", "a-", "a--b", "ä", &"a".repeat(65)] {
            assert!(refused(name, Language::Rust).contains("is no name for a project"), "{name}");
        }
        assert!(refused("type", Language::Rust).contains("in rust: choose another name, such as `my-type`"));
        assert!(refused("class", Language::Python).contains("in python"));
        assert!(refused("sump-sdk", Language::Python).contains("in python"));
        assert!(refused("esbuild", Language::TypeScript).contains("in typescript"));
        assert!(parent.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn an_sdk_that_is_not_there_is_told_and_nothing_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let sdk = parent.path().to_owned();
        let new = NewProject { sdk, ..order(parent.path(), "a", Language::Go, Shape::Sink) };
        let error = new_project(&new).unwrap_err().to_string();
        assert!(error.contains("there is no SDK for go in it"), "{error}");
        assert!(parent.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn a_path_that_would_break_a_file_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let sdk = parent.path().join("a\"b");
        fs::create_dir_all(sdk.join("go")).unwrap();
        fs::write(sdk.join("go/go.mod"), "").unwrap();
        let new = NewProject { sdk, ..order(parent.path(), "a", Language::Go, Shape::Sink) };
        assert!(matches!(new_project(&new), Err(NewError::SdkPath(_))));

        let sdk = parent.path().join("a b");
        for (language, file) in [(Language::Go, "go.mod"), (Language::C, "Makefile")] {
            fs::create_dir_all(sdk.join(language.name())).unwrap();
            fs::write(sdk.join(language.name()).join(file), "").unwrap();
            let new = NewProject { sdk: sdk.clone(), ..order(parent.path(), "a", language, Shape::Sink) };
            assert_eq!(new_project(&new).is_ok(), language == Language::Go, "{language}");
        }
    }
}
