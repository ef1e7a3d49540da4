//! A real Kafka broker, one node by itself, and what an independent client sees in it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Who a client may be at the listeners with SASL.
pub(crate) const USER: (&str, &str) = ("sump", "open sesame");

/// How long anything may take before a test gives up. Nothing should come near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// For a process that lives for a minute, compiling well costs more than it gives.
const JAVA: [&str; 5] = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];

/// Starts the broker when it is told to, and ends it with the test, however that ends: then nobody holds the other end of
/// its standard input any more.
const KEEPER: &str = r#"
trap '' INT
folder=$1; shift
while read -r word; do
    "$@" >>"$folder/broker.log" 2>&1 </dev/null &
    broker=$!
    echo "$broker"
done
kill -9 "$broker"
wait
rm -rf "$folder"
"#;

/// A broker that was started. It is killed, and its folder removed, when it is dropped or the test process ends.
pub(crate) struct Broker {
    folder: PathBuf,
    /// `127.0.0.1:PORT` of the listener without anything, with SASL, with TLS and client certificates, and with both
    /// SASL and TLS.
    pub(crate) plain: String,
    pub(crate) sasl: String,
    pub(crate) tls: String,
    pub(crate) sasl_tls: String,
    keeper: Child,
    process: Mutex<Process>,
}

struct Process {
    words: Option<ChildStdin>,
    pids: BufReader<std::process::ChildStdout>,
    pid: Option<Pid>,
}

/// A record as `kcat` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i64,
    pub(crate) offset: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<String>,
    /// None is a tombstone.
    pub(crate) payload: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// The broker that all tests of this process share, each with topics of its own. Nobody stops or kills it.
pub(crate) fn broker() -> &'static Broker {
    static SHARED: LazyLock<Broker> = LazyLock::new(Broker::start);
    &SHARED
}

/// A broker that may be stopped and killed: one test at a time has it. It runs whenever one begins.
pub(crate) fn victim() -> MutexGuard<'static, Broker> {
    static VICTIM: LazyLock<Mutex<Broker>> = LazyLock::new(|| Mutex::new(Broker::start()));
    let broker = VICTIM.lock().unwrap_or_else(PoisonError::into_inner);
    broker.kill();
    broker.start_again();
    broker
}

impl Broker {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Broker {
        let jars = std::env::var_os("SUMP_KAFKA");
        let jars = jars.expect("Apache Kafka is needed: SUMP_KAFKA=$(cargo xtask kafka) cargo test --test kafka");
        let folder = tempfile::Builder::new().prefix("sump-kafka-").tempdir().unwrap().keep();
        certificates(&folder);
        let ports = free_ports();
        fs::write(folder.join("server.properties"), properties(&folder, ports)).unwrap();
        fs::write(folder.join("log.properties"), LOG).unwrap();
        let java = |class: &str, arguments: &[&str]| -> Vec<std::ffi::OsString> {
            let mut words: Vec<std::ffi::OsString> = vec!["java".into()];
            words.extend(JAVA.map(Into::into));
            words.push(format!("-Dlog4j2.configurationFile={}", folder.join("log.properties").display()).into());
            words.extend(["-cp".into(), Path::new(&jars).join("*").into(), class.into()]);
            words.extend(arguments.iter().map(Into::into));
            words
        };
        let settings = folder.join("server.properties");
        let settings = settings.to_str().unwrap();
        let scram = |mechanism: &str| format!("{mechanism}=[name={},password={}]", USER.0, USER.1);
        let (scram_256, scram_512) = (scram("SCRAM-SHA-256"), scram("SCRAM-SHA-512"));
        let format = ["format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", settings, "--add-scram", &scram_256];
        let format = java("kafka.tools.StorageTool", &[&format[..], &["--add-scram", &scram_512]].concat());
        done(Command::new(&format[0]).args(&format[1..]));
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).args(java("kafka.Kafka", &[settings]));
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pids = BufReader::new(keeper.stdout.take().unwrap());
        let process = Process { words: keeper.stdin.take(), pids, pid: None };
        let address = |port: u16| format!("localhost:{port}");
        let [_, plain, sasl, tls, sasl_tls] = ports.map(address);
        let broker = Broker { folder, plain, sasl, tls, sasl_tls, keeper, process: Mutex::new(process) };
        broker.start_again();
        broker
    }

    /// A file for clients: `ca.pem`, `client.pem`, `client.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts it after it was killed, with all that it has on its disk, and waits until it answers.
    pub(crate) fn start_again(&self) {
        {
            let mut process = self.process();
            process.words.as_mut().unwrap().write_all(b"start\n").unwrap();
            let mut pid = String::new();
            process.pids.read_line(&mut pid).unwrap();
            process.pid = Pid::from_raw(pid.trim().parse().unwrap());
        }
        let client: BaseConsumer = self.client().create().unwrap();
        let began = Instant::now();
        while client.fetch_metadata(None, Duration::from_secs(1)).is_err() {
            let log = || fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "the broker does not answer:\n{}", log());
        }
    }

    /// It is gone, as by a power cut. Nothing happens where it is already.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.process().pid.take() {
            kill_process(pid, Signal::KILL).ok();
            let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
            let began = Instant::now();
            // The keeper reaps it.
            while fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                assert!(began.elapsed() < PATIENCE, "the broker does not die");
                std::thread::yield_now();
            }
        }
    }

    /// It stands still, as by a machine that hangs: connections stay, nothing is answered.
    pub(crate) fn pause(&self) {
        kill_process(self.process().pid.unwrap(), Signal::STOP).unwrap();
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        kill_process(self.process().pid.unwrap(), Signal::CONT).unwrap();
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client without any credentials is made with.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.plain).set("reconnect.backoff.max.ms", "200");
        client.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        client
    }

    /// Makes a topic, and waits until it is there.
    pub(crate) fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            new = new.set(key, value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(admin.create_topics([&new], &AdminOptions::new()));
        made.unwrap().remove(0).unwrap();
        let began = Instant::now();
        let partitions_there = || {
            let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(5)).unwrap();
            metadata.topics().iter().find(|it| it.name() == topic).map_or(0, |topic| topic.partitions().len())
        };
        while partitions_there() != partitions as usize {
            assert!(began.elapsed() < PATIENCE, "the topic {topic} does not come up");
        }
    }

    /// Lets a user do things with topics and groups, in the words of Kafka's own tool. Nobody else may do anything with them
    /// then, but for those who were let before, and for whoever needs no password.
    #[allow(dead_code, reason = "not all who share the broker need it")]
    pub(crate) fn allow(&self, user: &str, what: &[&str]) {
        let jars = std::env::var_os("SUMP_KAFKA").unwrap();
        let mut tool = Command::new("java");
        tool.args(JAVA).arg("-cp").arg(Path::new(&jars).join("*")).arg("org.apache.kafka.tools.AclCommand");
        tool.args(["--bootstrap-server", &self.plain, "--add", "--allow-principal", &format!("User:{user}")]);
        done(tool.args(what));
    }

    /// All records of a topic, in the order of partitions and offsets, as `kcat` reads them; transactions that were
    /// aborted left out.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let mut kcat = Command::new("kcat");
        kcat.args(["-C", "-q", "-e", "-J", "-o", "beginning", "-X", "isolation.level=read_committed"]);
        let output = done(kcat.args(["-b", &self.plain, "-t", topic]));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut records: Vec<Record> = text.lines().map(Record::read).collect();
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// The payloads of a topic, in the order of partitions and offsets.
    pub(crate) fn payloads(&self, topic: &str) -> Vec<String> {
        self.records(topic).into_iter().filter_map(|record| record.payload).collect()
    }

    /// Writes lines to a topic by `kcat`; its arguments say more, such as `-K` for keys or `-p` for the partition.
    pub(crate) fn produce(&self, topic: &str, arguments: &[&str], lines: &str) {
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", &self.plain, "-t", topic]).args(arguments);
        let mut kcat = kcat.stdin(Stdio::piped()).spawn().unwrap();
        kcat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(kcat.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process().words = None;
        self.keeper.wait().ok();
    }
}

impl Record {
    fn read(line: &str) -> Record {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let headers: Vec<String> =
            record["headers"].as_array().into_iter().flatten().map(|part| text(part).unwrap_or_default()).collect();
        Record {
            partition: record["partition"].as_i64().unwrap(),
            offset: record["offset"].as_i64().unwrap(),
            timestamp: record["ts"].as_i64().unwrap(),
            key: text(&record["key"]),
            payload: text(&record["payload"]),
            headers: headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
        }
    }
}

/// Ports outside of the range from which the system gives ports out by itself: nobody takes one while its broker is down.
fn free_ports() -> [u16; 5] {
    let mut held = Vec::new();
    while held.len() < 5 {
        let port = fastrand::u16(10_000..32_000);
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    std::array::from_fn(|index| held[index].local_addr().unwrap().port())
}

/// A CA, and certificates by it for the broker and for a client.
fn certificates(folder: &Path) {
    let make = |name: &str, arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-noenc", "-days", "2", "-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        done(openssl.args(["-subj", &format!("/CN={name}")]).args(arguments));
    };
    make("ca", &[]);
    for name in ["server", "client"] {
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        make(name, &["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names]);
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    fs::write(folder.join("server.both"), read("server.key") + &read("server.pem")).unwrap();
}

/// Events are as old as they are, so that nothing is too old to be kept.
fn properties(folder: &Path, ports: [u16; 5]) -> String {
    let [controller, plain, sasl, tls, both] = ports;
    let (user, password) = USER;
    let login = "org.apache.kafka.common.security";
    let logins: String = ["sasl", "both"]
        .map(|listener| {
            format!(
                "listener.name.{listener}.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{user}=\"{password}\";\n\
                 listener.name.{listener}.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;\n\
                 listener.name.{listener}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;\n"
            )
        })
        .concat();
    let folder = folder.display();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},BOTH://127.0.0.1:{both},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAIN://localhost:{plain},SASL://localhost:{sasl},TLS://localhost:{tls},BOTH://localhost:{both}\n\
         listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,BOTH:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAIN\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         {logins}\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={folder}/server.both\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={folder}/ca.pem\n\
         listener.name.tls.ssl.client.auth=required\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         allow.everyone.if.no.acl.found=true\n\
         log.dirs={folder}/data\n\
         log.retention.ms=-1\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n"
    )
}

/// Warnings and worse, on standard output.
const LOG: &str = "\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
";

/// Runs a command to its end, which must be a good one.
fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed:\n{}", said());
    output
}
