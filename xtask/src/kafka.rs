//! Apache Kafka for tests and benchmarks, from Maven Central. It is kept in the user's cache folder.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::command::{cache_folder, command, run};
use crate::report::note;
use crate::tools;

/// The environment variable that names the folder of its jars to tests and benchmarks.
pub(crate) const FOLDER_VARIABLE: &str = "SUMP_KAFKA";

/// Tests and figures are about this version.
const VERSION: &str = "4.1.1";

/// What it is made of, each with what it needs: the broker, its command-line tools, Kafka Connect with the connectors of
/// files, against which the benchmarks run, and what writes their log.
const ARTIFACTS: [(&str, &str, &str); 5] = [
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    ("org.apache.kafka", "connect-runtime", VERSION),
    ("org.apache.kafka", "connect-file", VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
];

/// The plugin of Maven that fetches, in the version that this was written for.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Programs that tests and benchmarks run beside it, each with its package in Debian.
const PROGRAMS: [(&str, &str); 3] = [("java", "default-jre-headless"), ("kcat", "kcat"), ("openssl", "openssl")];

/// The folder of its jars. Whatever is missing is fetched.
pub(crate) fn folder() -> Result<PathBuf> {
    tools::programs(&PROGRAMS)?;
    let folder = cache_folder()?.join(format!("kafka-{VERSION}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    tools::programs(&[("mvn", "maven")])?;
    note(format!("fetching Apache Kafka {VERSION} into {} (once, 54 MB)", folder.display()));
    // Under another name until it is whole: a fetch that is broken off leaves nothing that looks done.
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let file = partial.join("pom.xml");
    fs::write(&file, project()).with_context(|| format!("cannot write {}", file.display()))?;
    let mut fetch = command("mvn", &["--quiet", "--batch-mode", PLUGIN, "--file"]);
    run(fetch.stdout(Stdio::null()).arg(&file).arg(format!("-DoutputDirectory={}", partial.display())))?;
    for (_, name, version) in ARTIFACTS {
        let jar = partial.join(format!("{name}-{version}.jar"));
        ensure!(jar.is_file(), "Maven succeeded, but there is no {}", jar.display());
    }
    match fs::rename(&partial, &folder) {
        // Somebody else was faster.
        Err(_) if folder.is_dir() => fs::remove_dir_all(&partial).context("cannot remove what was fetched twice")?,
        renamed => renamed.with_context(|| format!("cannot make {}", folder.display()))?,
    }
    Ok(folder)
}

/// A project of Maven that needs these artifacts and nothing else.
fn project() -> String {
    let dependency = |(group, name, version): &(&str, &str, &str)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project>\n<modelVersion>4.0.0</modelVersion>\n<groupId>sump</groupId><artifactId>kafka</artifactId><version>1</version>\n\
         <dependencies>\n{}</dependencies>\n</project>\n",
        ARTIFACTS.iter().map(dependency).collect::<String>()
    )
}
