//! Sinks and databases: VictoriaMetrics, ClickHouse and Redis.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::guest::guest;
use crate::server::{Server, ask, free_port};
use crate::sump::{Dir, QUAKES, wait_for};

fn quakes() -> Vec<Value> {
    let text = fs::read_to_string(QUAKES).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn victoria(dir: &Dir) -> Server {
    let port = free_port();
    let address = format!("-httpListenAddr=127.0.0.1:{port}");
    // Quakes of 2018 are not too old.
    let args = [address.as_str(), "-retentionPeriod=100y", "-storageDataPath=data-of-victoria"];
    Server::start("victoria-metrics", &args, &dir.path(""), port)
}

/// How many points it has of a metric.
fn points(server: &Server, metric: &str) -> usize {
    ask("GET", server.port, "/internal/force_flush", "");
    let (status, lines) = ask("GET", server.port, &format!("/api/v1/export?match[]={metric}"), "");
    assert_eq!(status, 200, "{lines}");
    let values = |line: &str| serde_json::from_str::<Value>(line).unwrap()["values"].as_array().unwrap().len();
    lines.lines().map(values).sum()
}

#[test]
fn victoria_metrics_has_all_that_counts_as_written() {
    let dir = Dir::new();
    let server = victoria(&dir);
    let (mut json_lines, mut influx) = (String::new(), String::new());
    for quake in quakes() {
        let (id, mag, time) = (&quake["id"], quake["mag"].as_f64().unwrap_or(0.0), &quake["time"]);
        let metric = json!({ "metric": { "__name__": "quake", "id": id }, "values": [mag], "timestamps": [time] });
        json_lines.push_str(&format!("{metric}\n"));
        influx.push_str(&format!("shake,id={} mag={mag} {time}000000\n", id.as_str().unwrap()));
    }
    dir.write("json", &json_lines);
    dir.write("influx", &influx);
    let sink = |name: &str, path: &str, more: &str| {
        format!(
            "[source.{name}]\ntype = 'file'\npath = '{name}'\n[pipeline.{name}]\nsource = '{name}'\n\
             [pipeline.{name}.sink.out]\ntype = 'http'\nurl = 'http://127.0.0.1:{}{path}'\n{more}",
            server.port
        )
    };
    let config = sink("json", "/api/v1/import", "compression = 'gzip'\n") + &sink("influx", "/write", "");
    dir.write("sump.toml", config);
    let ended = dir.done().with(0);
    assert_eq!((ended.written("json:out"), ended.written("influx:out")), (1707, 1707));
    wait_for("all points", || points(&server, "quake") == 1707 && points(&server, "shake_mag") == 1707);
}

#[test]
fn a_sink_in_go_writes_points_to_victoria_metrics() {
    let dir = Dir::new();
    let server = victoria(&dir);
    let url = format!("http://127.0.0.1:{}/write", server.port);
    let influx = guest("influx");
    let set_url = format!("url={url}");
    let settings = [&*set_url, "measurement=tremor", "fields=mag,depth", "tags=net,kind"];
    let args = [influx.to_str().unwrap(), "--allow-http", &url].into_iter();
    let ended = dir
        .run(args.chain(settings.into_iter().flat_map(|setting| ["--set", setting])))
        .input(fs::read(QUAKES).unwrap())
        .end()
        .with(0);
    assert_eq!(ended.written("main:influx"), 1707);
    wait_for("all points", || points(&server, "tremor_depth") == 1707);
}

fn clickhouse(dir: &Dir) -> Server {
    let port = free_port();
    let path = dir.path("").display().to_string();
    dir.write(
        "config.xml",
        format!(
            "<yandex><logger><level>warning</level><console>1</console></logger><http_port>{port}</http_port>\
             <listen_host>127.0.0.1</listen_host><path>{path}/store/</path><tmp_path>{path}/tmp/</tmp_path>\
             <users_config>users.xml</users_config><default_profile>default</default_profile>\
             <default_database>default</default_database><mark_cache_size>5368709</mark_cache_size></yandex>"
        ),
    );
    dir.write(
        "users.xml",
        "<yandex><profiles><default/></profiles><users><default><password>pw</password><networks><ip>127.0.0.1</ip>\
         </networks><profile>default</profile><quota>default</quota></default></users><quotas><default/></quotas></yandex>",
    );
    Server::start("clickhouse-server", &["--config-file=config.xml"], &dir.path(""), port)
}

#[test]
fn clickhouse_has_all_rows_but_the_one_that_is_wrong() {
    let dir = Dir::new();
    let server = clickhouse(&dir);
    let said = |query: &str| ask("POST", server.port, "/?user=default&password=pw", query);
    assert_eq!(said("create table quakes (id String, mag Nullable(Float64)) engine = Memory").0, 200);
    let mut lines = fs::read_to_string(QUAKES).unwrap();
    lines.insert_str(lines.find('\n').unwrap() + 1, "{\"id\":\"wrong\",\"mag\":\"strong\"}\n");
    dir.write("in", lines);
    let config = |password: &str| {
        format!(
            "[source:in]\ntype=file\npath=in\n[pipeline:ClickHouse]\nsource=in\n[pipeline:ClickHouse:Quakes]\ntype=http\n\
             url=http://127.0.0.1:{}/?query=INSERT+INTO+quakes+FORMAT+JSONEachRow&input_format_skip_unknown_fields=1\n\
             compression=gzip\nauth.type=basic\nauth.user=default\nauth.password={password}\n\
             statuses.500=rejected\nretry.initial=10ms\ngate.probe=100ms\n",
            server.port
        )
    };
    dir.write("clickhouse.conf", config("wrong"));
    let halted = dir.run(["clickhouse.conf", "--drain-timeout", "1s"]).end().with(75);
    halted.saying(&["answered 401 Unauthorized", "Wrong password for user default"]);
    dir.write("clickhouse.conf", config("pw"));
    let ended = dir.run(["clickhouse.conf"]).end().with(0);
    let [written, _, rejected, dead, ..] = ended.counts("ClickHouse:Quakes");
    assert_eq!((written, rejected, dead), (1707, 1, 1));
    assert!(dir.dead("payload")[0].contains("strong") && dir.dead("code") == ["http-500"]);
    assert!(dir.dead("message")[0].contains("Cannot parse input"), "{}", dir.dead("message")[0]);
    assert_eq!(said("select count(), uniq(id) from quakes").1.trim(), "1707\t1707");
}

#[test]
fn a_sink_in_typescript_inserts_rows_into_clickhouse_but_the_wrong_ones() {
    let dir = Dir::new();
    let server = clickhouse(&dir);
    let said = |query: &str| ask("POST", server.port, "/?user=default&password=pw", query);
    let mut lines = fs::read_to_string(QUAKES).unwrap();
    lines.insert_str(lines.find('\n').unwrap() + 1, "{\"id\":\"wrong\",\"mag\":\"strong\"}\nno json\n");
    dir.write("in", lines);
    let config = |password: &str| {
        format!(
            "[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p]\nsource = 'in'\n[pipeline.p.sink.rows]\ntype = 'wasm'\n\
             path = '{}'\nretry.initial = '10ms'\ngate.probe = '100ms'\n\
             config = {{ url = 'http://127.0.0.1:{port}/', table = 'quakes', settings = {{ input_format_skip_unknown_fields = '1' }} }}\n\
             [[pipeline.p.sink.rows.allow.http]]\nto = 'http://127.0.0.1:{port}/'\n\
             headers = {{ X-ClickHouse-User = 'default', X-ClickHouse-Key = '{password}' }}\n",
            guest("clickhouse").display(),
            port = server.port
        )
    };
    for (password, code) in [("wrong", "clickhouse-193"), ("pw", "clickhouse-60")] {
        dir.write("sump.toml", config(password));
        dir.run(["sump.toml", "--drain-timeout", "1s"]).end().with(75).saying(&[code]);
    }
    assert_eq!(said("create table quakes (id String, mag Nullable(Float64)) engine = Memory").0, 200);
    let ended = dir.done().with(0);
    let [written, _, rejected, dead, ..] = ended.counts("p:rows");
    assert_eq!((written, rejected, dead), (1707, 2, 2));
    let mut codes = dir.dead("code");
    codes.sort();
    assert_eq!(codes, ["clickhouse-27", "not-json"]);
    assert_eq!(said("select count(), uniq(id) from quakes").1.trim(), "1707\t1707");
}

fn redis(dir: &Dir) -> Server {
    let port = free_port();
    let listen = port.to_string();
    let args = ["--port", &listen, "--bind", "127.0.0.1", "--requirepass", "pw", "--save", ""];
    Server::start("redis-server", &args, &dir.path(""), port)
}

/// What Redis answers to a command, line by line.
fn redis_says(server: &Server, command: &[&str]) -> Vec<String> {
    let port = server.port.to_string();
    let mut client = Command::new("redis-cli");
    let said = client.args(["-p", &port, "-a", "pw", "--no-auth-warning", "--raw"]).args(command).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_sink_that_speaks_to_redis_adds_each_event_once_and_in_order() {
    let dir = Dir::new();
    let server = redis(&dir);
    let config = |password: &str| {
        format!(
            "[source.quakes]\ntype = 'file'\npath = '{QUAKES}'\n[pipeline.p.sink.stream]\ntype = 'wasm'\npath = '{}'\n\
             batch_size = 100\nretry.initial = '10ms'\ngate.probe = '50ms'\nallow.tcp = ['localhost:{port}']\n\
             config = {{ address = 'localhost:{port}', stream = 'quakes', password = '{password}' }}\n",
            guest("redis-streams").display(),
            port = server.port
        )
    };
    dir.write("sump.toml", config("wrong"));
    dir.run(["sump.toml", "--drain-timeout", "1s"]).end().with(75).saying(&["WRONGPASS"]);
    dir.write("sump.toml", config("pw"));
    assert_eq!(dir.done().with(0).written("p:stream"), 1707);
    // As after a kill that saved no position.
    assert_eq!(dir.run(["sump.toml", "--from-start"]).end().with(0).written("p:stream"), 1707);
    let entries = redis_says(&server, &["XRANGE", "quakes", "-", "+"]);
    let payloads: Vec<&str> = entries.chunks(3).map(|entry| entry[2].as_str()).collect();
    assert!(payloads == fs::read_to_string(QUAKES).unwrap().lines().collect::<Vec<_>>(), "{} entries", payloads.len());

    redis_says(&server, &["SET", "taken", "by another type"]);
    let taken = config("pw").replace("stream = 'quakes'", "stream = 'taken'");
    dir.write("sump.toml", taken);
    let halted = dir.run(["sump.toml", "--from-start", "--drain-timeout", "1s"]).end().with(75);
    halted.saying(&["WRONGTYPE"]);
}
