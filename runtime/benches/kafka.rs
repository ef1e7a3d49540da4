//! Lines from a file into a topic of a real broker, and records of a topic to nowhere, by the command as people run it;
//! beside it bare loops over rdkafka with the same settings, `kcat`, and the connectors of files of Kafka Connect.
//! Processor and wall seconds of whole processes a million events, start and end included; the broker has its own, on the
//! same machine.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/input.rs"]
mod input;
#[allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "it is for tests, which need more of it")]
#[path = "../tests/support/kafka.rs"]
mod kafka;
#[path = "support/process.rs"]
mod process;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use figures::{Fail, median, report};
use kafka::Broker;
use process::{Used, run, used};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

const LINES: usize = 1_000_000;
const PARTITIONS: i32 = 6;
const ROUNDS: usize = 5;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What every producer here is set to, Sump's by default, and what every consumer is.
const PRODUCER: [(&str, &str); 3] = [("enable.idempotence", "true"), ("acks", "all"), ("compression.type", "zstd")];
const CONSUMER: [(&str, &str); 2] = [("auto.offset.reset", "earliest"), ("queued.max.messages.kbytes", "32768")];

/// Everything that is read is in this topic.
const FULL: &str = "full";

/// What is measured in each round, one after the other.
#[derive(Clone, Copy, PartialEq)]
enum Case {
    BareProducer,
    FileToKafka(&'static str),
    KcatProduces,
    ConnectProduces,
    BareConsumer,
    KafkaToNull,
    KcatConsumes,
    ConnectConsumes,
}

impl Case {
    /// It reads a topic, where the others write one.
    fn reads(self) -> bool {
        match self {
            Case::BareProducer | Case::FileToKafka(_) | Case::KcatProduces | Case::ConnectProduces => false,
            Case::BareConsumer | Case::KafkaToNull | Case::KcatConsumes | Case::ConnectConsumes => true,
        }
    }
}

const CASES: [(Case, &str); 9] = [
    (Case::BareProducer, "bare rdkafka producer"),
    (Case::FileToKafka(""), "file to Kafka"),
    (Case::FileToKafka("batch_size = 10000"), "file to Kafka, batches of 10,000"),
    (Case::KcatProduces, "kcat -P"),
    (Case::ConnectProduces, "Kafka Connect, FileStreamSource"),
    (Case::BareConsumer, "bare rdkafka consumer"),
    (Case::KafkaToNull, "Kafka to null"),
    (Case::KcatConsumes, "kcat -C"),
    (Case::ConnectConsumes, "Kafka Connect, FileStreamSink"),
];

/// The first argument of this program where it is to be one of the loops that others are held against.
const PRODUCE: &str = "--produce";
const CONSUME: &str = "--consume";

fn main() -> Result<(), Fail> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [what, input, servers, topic] if what == PRODUCE => {
            produce(Path::new(input), &servers.to_string_lossy(), &topic.to_string_lossy())
        }
        [what, servers, group] if what == CONSUME => consume(&servers.to_string_lossy(), &group.to_string_lossy()),
        _ => measure(),
    }
}

fn measure() -> Result<(), Fail> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let bench = Bench::new(folder.path())?;
    let mut took: [(Vec<f64>, Vec<f64>); CASES.len()] = Default::default();
    let mut peak = [0.0_f64; CASES.len()];
    // The first round brings the file into memory, and warms the broker up.
    for round in 0..=ROUNDS {
        for (number, (case, name)) in CASES.iter().enumerate() {
            let used = bench.measure(*case, &format!("bench-{round}-{number}"));
            let used = used.map_err(|error| format!("{name}: {error}"))?;
            if round > 0 {
                took[number].0.push(used.cpu.as_secs_f64());
                took[number].1.push(used.wall.as_secs_f64());
                peak[number] = peak[number].max(used.peak);
            }
        }
    }
    let took = took.map(|(cpu, wall)| (median(cpu), median(wall)));
    for (((case, name), (cpu, wall)), peak) in CASES.iter().zip(took).zip(peak) {
        let bare = took[if case.reads() { 5 } else { 0 }];
        report("kafka", name, cpu, "CPU-s/million")?;
        report("kafka", &format!("{name} / bare"), cpu / bare.0, "ratio")?;
        report("kafka", &format!("{name}, wall"), wall, "s/million")?;
        report("kafka", &format!("{name}, wall / bare"), wall / bare.1, "ratio")?;
        report("kafka", &format!("{name}, peak"), peak, "MiB")?;
    }
    Ok(())
}

/// Each line is sent as it is read; librdkafka copies it.
fn produce(input: &Path, servers: &str, topic: &str) -> Result<(), Fail> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", servers).set("queue.buffering.max.messages", "0");
    client.set("queue.buffering.max.kbytes", "65536");
    for (name, value) in PRODUCER {
        client.set(name, value);
    }
    let producer: BaseProducer = client.create()?;
    let mut lines = BufReader::with_capacity(128 << 10, File::open(input)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        line.pop();
        while let Err((error, _)) = producer.send(BaseRecord::<(), [u8]>::to(topic).payload(&line[..])) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => producer.poll(Duration::from_millis(10)),
                other => return Err(other.into()),
            };
        }
        line.clear();
        producer.poll(Duration::ZERO);
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// Each record is looked at, and what was read is committed in the end.
fn consume(servers: &str, group: &str) -> Result<(), Fail> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", servers).set("group.id", group).set("enable.auto.commit", "false");
    for (name, value) in CONSUMER {
        client.set(name, value);
    }
    let consumer: BaseConsumer = client.create()?;
    consumer.subscribe(&[FULL])?;
    let (mut read, mut bytes, mut ends) = (0, 0, [0; PARTITIONS as usize]);
    while read < LINES {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message?;
        read += 1;
        bytes += message.payload().map_or(0, <[u8]>::len);
        ends[message.partition() as usize] = message.offset() + 1;
    }
    let mut offsets = TopicPartitionList::new();
    for (partition, end) in ends.iter().enumerate() {
        offsets.add_partition_offset(FULL, partition as i32, Offset::Offset(*end))?;
    }
    consumer.commit(&offsets, rdkafka::consumer::CommitMode::Sync)?;
    if bytes == 0 { Err("the records are empty".into()) } else { Ok(()) }
}

fn kcat(settings: &[(&str, &str)]) -> Command {
    let mut kcat = Command::new("kcat");
    for (name, value) in settings {
        kcat.args(["-X", &format!("{name}={value}")]);
    }
    kcat
}

struct Bench {
    folder: PathBuf,
    input: PathBuf,
    broker: Broker,
}

impl Bench {
    fn new(folder: &Path) -> Result<Bench, Fail> {
        let input = input::create(folder, LINES)?;
        let bench = Bench { folder: folder.to_owned(), input, broker: Broker::start() };
        bench.broker.create(FULL, PARTITIONS, &[]);
        bench.bare_producer(FULL)?;
        Ok(bench)
    }

    /// All lines have to be in the topic, or read, then. What was written is not kept.
    fn measure(&self, case: Case, name: &str) -> Result<Used, Fail> {
        let writes = !case.reads();
        if writes {
            self.broker.create(name, PARTITIONS, &[]);
        }
        let servers = &self.broker.plain;
        let used = match case {
            Case::BareProducer => self.bare_producer(name)?,
            Case::FileToKafka(settings) => self.file_to_kafka(name, settings)?,
            Case::KcatProduces => {
                let mut kcat = kcat(&PRODUCER);
                run(kcat.args(["-P", "-b", servers, "-t", name, "-l"]).arg(&self.input))?
            }
            Case::ConnectProduces => self.connect(name, &self.source(name), || Ok(self.written(name)? >= LINES))?,
            Case::BareConsumer => run(Command::new(std::env::current_exe()?).args([CONSUME, servers, name]))?,
            Case::KafkaToNull => self.kafka_to_null(name)?,
            Case::KcatConsumes => {
                let mut kcat = kcat(&CONSUMER);
                let end = ["-C", "-q", "-e", "-b", servers, "-t", FULL];
                run(kcat.args(end).stdout(File::create(self.folder.join("kcat"))?))?
            }
            Case::ConnectConsumes => {
                let output = self.folder.join(format!("{name}.out"));
                let length = self.input.metadata()?.len();
                let whole = || Ok(output.metadata().is_ok_and(|file| file.len() >= length));
                let used = self.connect(name, &self.sink(&output), whole)?;
                fs::remove_file(output)?;
                used
            }
        };
        if writes {
            let written = self.written(name)?;
            self.remove(name)?;
            if written != LINES {
                return Err(format!("{written} lines are in the topic").into());
            }
        }
        Ok(used)
    }

    fn bare_producer(&self, topic: &str) -> Result<Used, Fail> {
        run(Command::new(std::env::current_exe()?).arg(PRODUCE).arg(&self.input).args([&self.broker.plain, topic]))
    }

    /// The topic goes, with all that is in it.
    fn remove(&self, topic: &str) -> Result<(), Fail> {
        let admin: AdminClient<DefaultClientContext> = self.broker.client().create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let removed = runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new()))?;
        removed
            .into_iter()
            .try_for_each(|topic| topic.map(drop).map_err(|(topic, code)| format!("{topic}: {code}").into()))
    }

    fn written(&self, topic: &str) -> Result<usize, Fail> {
        let client: BaseConsumer = self.broker.client().create()?;
        let end = |partition| Ok::<_, Fail>(client.fetch_watermarks(topic, partition, Duration::from_secs(10))?.1);
        (0..PARTITIONS).map(end).sum::<Result<i64, _>>().map(|lines| lines as usize)
    }

    /// A run from the beginning.
    fn file_to_kafka(&self, topic: &str, settings: &str) -> Result<Used, Fail> {
        self.sump(&format!(
            "[connection.kafka]\nbootstrap_servers = {:?}\n[source.lines]\ntype = \"file\"\npath = {:?}\n\
             [pipeline.bench]\nsource = \"lines\"\n[pipeline.bench.sink.out]\ntype = \"kafka\"\nconnection = \"kafka\"\n\
             timestamp = \"now\"\ntopic = {topic:?}\n{settings}\n",
            self.broker.plain, self.input
        ))
    }

    fn kafka_to_null(&self, group: &str) -> Result<Used, Fail> {
        self.sump(&format!(
            "[connection.kafka]\nbootstrap_servers = {:?}\n[source.records]\ntype = \"kafka\"\nconnection = \"kafka\"\n\
             topics = {FULL:?}\ngroup = {group:?}\nuntil = \"end\"\n\
             [pipeline.bench]\nsource = \"records\"\n[pipeline.bench.sink.out]\ntype = \"null\"\n",
            self.broker.plain
        ))
    }

    fn sump(&self, text: &str) -> Result<Used, Fail> {
        let (config, data) = (self.folder.join("sump.toml"), self.folder.join("data"));
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_sump"));
        command.arg("run").arg(&config).arg("--from-start").arg("--data-dir").arg(&data);
        let used = run(command.stdout(Stdio::null()).stderr(File::create(self.folder.join("said"))?))?;
        let said = fs::read_to_string(self.folder.join("said"))?;
        fs::remove_dir_all(data)?;
        if said.contains("1000000") || said.contains("1,000,000") { Ok(used) } else { Err(said.into()) }
    }

    fn source(&self, topic: &str) -> String {
        format!(
            "name=lines\nconnector.class=org.apache.kafka.connect.file.FileStreamSourceConnector\ntasks.max=1\n\
             file={}\ntopic={topic}\nbatch.size=2000\n",
            self.input.display()
        )
    }

    fn sink(&self, output: &Path) -> String {
        format!(
            "name=lines-{}\nconnector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\ntasks.max=1\n\
             file={}\ntopics={FULL}\n",
            output.file_stem().unwrap_or_default().display(),
            output.display()
        )
    }

    /// It never ends by itself: somebody looks when everything is there.
    fn connect(&self, name: &str, connector: &str, done: impl Fn() -> Result<bool, Fail>) -> Result<Used, Fail> {
        let folder = self.folder.join(name);
        let (worker, settings) = (folder.join("worker.properties"), folder.join("connector.properties"));
        fs::create_dir_all(&folder)?;
        let strings = "org.apache.kafka.connect.storage.StringConverter";
        fs::write(
            &worker,
            format!(
                "bootstrap.servers={}\nkey.converter={strings}\nvalue.converter={strings}\n\
                 offset.storage.file.filename={}/offsets\nproducer.compression.type=zstd\n\
                 consumer.auto.offset.reset=earliest\nlisteners=http://127.0.0.1:0\n",
                self.broker.plain,
                folder.display()
            ),
        )?;
        fs::write(&settings, connector)?;
        let jars = std::env::var_os("SUMP_KAFKA").ok_or("SUMP_KAFKA is not set")?;
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-cp"]).arg(Path::new(&jars).join("*"));
        java.arg("org.apache.kafka.connect.cli.ConnectStandalone").args([&worker, &settings]);
        java.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (began, mut wall) = (Instant::now(), Duration::ZERO);
        let (_, used) = used(&mut java, |process| {
            let mut whole = Ok(false);
            while matches!(whole, Ok(false)) && began.elapsed() < PATIENCE {
                // Often enough for what takes seconds.
                std::thread::park_timeout(Duration::from_millis(50));
                whole = done();
            }
            wall = began.elapsed();
            let process = Pid::from_raw(process as i32).ok_or("no process")?;
            kill_process(process, Signal::KILL)?;
            if whole? { Ok(()) } else { Err("it does not come to an end".into()) }
        })?;
        Ok(Used { wall, ..used })
    }
}
