//! The `http` sink and nginx, in front of a server of the test: TLS, certificates of clients, HTTP/2, limits, passwords.

use std::process::Command;

use crate::endpoint::{Answer, Endpoint};
use crate::server::{Server, free_port};
use crate::sump::{Dir, QUAKES};

/// nginx in its folder, in front of `behind`, with more directives.
pub(crate) fn nginx(behind: &str, directives: &str) -> (Dir, Server) {
    let (dir, port) = (Dir::new(), free_port());
    let folder = dir.path("");
    certificates(&dir);
    dir.write(
        "nginx.conf",
        format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             log_format short '$status $server_protocol $ssl_client_s_dn';\n\
             access_log access.log short;\n\
             client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
             server {{\n\
             listen 127.0.0.1:{port} ssl http2; ssl_certificate server.pem; ssl_certificate_key server.key;\n\
             {directives}\n\
             location / {{ proxy_pass {behind}; }}\n\
             }}\n}}\n"
        ),
    );
    let prefix = folder.to_str().unwrap().to_owned();
    let server = Server::start("nginx", &["-p", &prefix, "-c", "nginx.conf"], &folder, port);
    (dir, server)
}

/// An authority, and what it says of the server and of a client.
fn certificates(dir: &Dir) {
    let make = |name: &str, more: &[&str]| {
        let args =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let (key, cert, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let mut openssl = Command::new("openssl");
        openssl.args(args).args(["-keyout", &key, "-out", &cert, "-subj", &subject]).args(more);
        let made = openssl.current_dir(dir.path("")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let by_ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
    make("ca", &[]);
    make("server", &[&by_ca[..], &["subjectAltName=IP:127.0.0.1"]].concat());
    make("client", &[&by_ca[..], &["extendedKeyUsage=clientAuth"]].concat());
}

/// All quakes to nginx.
pub(crate) fn quakes(server: &Server, dir: &Dir, more: &str) {
    let port = server.port;
    dir.write(
        "sump.toml",
        format!(
            "[source.quakes]\ntype = 'file'\npath = '{QUAKES}'\n\
             [pipeline.p.sink.out]\ntype = 'http'\nurl = 'https://127.0.0.1:{port}/in'\nbatch_size = 100\n\
             retry.initial = '10ms'\n{more}"
        ),
    );
}

/// What came through, in its order.
fn arrived(endpoint: &Endpoint) -> Vec<u8> {
    endpoint.asked().into_iter().flat_map(|asked| asked.body).collect()
}

pub(crate) const CA: &str = "tls.ca = 'ca.pem'\n";

#[test]
fn http_2_and_1_over_tls_of_an_authority_of_our_own() {
    for (more, protocol) in
        [("", "HTTP/2.0"), ("http_version = '1.1'\n", "HTTP/1.1"), ("http_version = '2'\n", "HTTP/2.0")]
    {
        let endpoint = Endpoint::always(Answer::Status(200));
        let (dir, server) = nginx(&endpoint.url, "client_max_body_size 10m;");
        quakes(&server, &dir, &format!("{CA}{more}"));
        let ended = dir.done().with(0);
        assert_eq!(ended.counts("p:out"), [1707, 0, 0, 0, 0, 18]);
        assert!(arrived(&endpoint) == std::fs::read(QUAKES).unwrap());
        assert!(dir.lines("access.log").iter().all(|line| line.starts_with(&format!("200 {protocol}"))));
    }
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let (dir, server) = nginx(&endpoint.url, "");
    quakes(&server, &dir, "retry.attempts = 1\n");
    let ended = dir.done().with(0);
    assert_eq!(ended.counts("p:out")[3], 1707);
    assert!(dir.dead("code").iter().all(|code| code == "tls"));
    assert!(dir.dead("message")[0].contains("certificate"), "{}", dir.dead("message")[0]);
    assert!(endpoint.asked().is_empty());
}

#[test]
fn a_client_shows_its_certificate() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let (dir, server) = nginx(&endpoint.url, "ssl_client_certificate ca.pem; ssl_verify_client on;");
    quakes(&server, &dir, &format!("{CA}tls.cert = 'client.pem'\ntls.key = 'client.key'\n"));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    assert!(dir.lines("access.log").iter().all(|line| line.starts_with("200 HTTP/2.0 CN=client")));
    let (dir, server) = nginx(&endpoint.url, "ssl_client_certificate ca.pem; ssl_verify_client on;");
    let before = endpoint.asked().len();
    quakes(&server, &dir, &format!("{CA}statuses = {{ 400 = 'halted' }}\ngate.probe = '50ms'\n"));
    let ended = dir.run(["sump.toml", "--drain-timeout", "1s"]).end().with(75);
    ended.saying(&["answered 400 Bad Request", "No required SSL certificate was sent"]);
    assert_eq!(endpoint.asked().len(), before);
    quakes(&server, &dir, &format!("{CA}tls.cert = 'client.pem'\ntls.key = 'server.key'\n"));
    dir.done().with(2).saying(&["server.key does not fit `cert`"]);
}

#[test]
fn a_body_that_nginx_does_not_take_is_halved() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let (dir, server) = nginx(&endpoint.url, "client_max_body_size 4k;");
    quakes(&server, &dir, CA);
    let ended = dir.done().with(0);
    let [written, _, rejected, dead, ..] = ended.counts("p:out");
    assert_eq!((written, rejected, dead), (1707, 0, 0));
    assert!(arrived(&endpoint) == std::fs::read(QUAKES).unwrap());
    let refused = dir.lines("access.log").iter().filter(|line| line.starts_with("413")).count();
    assert!(refused >= 18, "{refused}");
}

#[test]
fn connections_that_nginx_ends_cost_nothing() {
    let endpoint = Endpoint::always(Answer::Status(200));
    for version in ["1.1", "2"] {
        let (dir, server) = nginx(&endpoint.url, "keepalive_requests 3; client_max_body_size 10m;");
        quakes(
            &server,
            &dir,
            &format!("{CA}http_version = '{version}'\nbatch_size = 20\n").replace("batch_size = 20\n", ""),
        );
        let ended = dir.done().with(0);
        assert_eq!(ended.counts("p:out"), [1707, 0, 0, 0, 0, 18], "{version}");
    }
}

#[test]
fn a_wrong_password_halts_and_a_right_one_does_not() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let (dir, server) = nginx(&endpoint.url, "auth_basic quakes; auth_basic_user_file passwords;");
    dir.write("passwords", "pump:{PLAIN}s3cret\n");
    let auth = |password: &str| format!("{CA}auth = {{ type = 'basic', user = 'pump', password = '{password}' }}\n");
    quakes(&server, &dir, &format!("{}gate.probe = '50ms'\n", auth("wrong")));
    let ended = dir.run(["sump.toml", "--drain-timeout", "1s"]).end().with(75);
    ended.saying(&["the gate is closed", "answered 401 Unauthorized"]);
    assert!(endpoint.asked().is_empty() && dir.dead_letters().is_empty());
    quakes(&server, &dir, &auth("s3cret"));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
}

#[test]
fn what_is_behind_nginx_and_gone_is_waited_for() {
    let gone = format!("http://127.0.0.1:{}", free_port());
    let (dir, server) = nginx(&gone, "");
    quakes(&server, &dir, &format!("{CA}retry.attempts = 2\n"));
    let ended = dir.done().with(0);
    assert_eq!(ended.counts("p:out"), [0, 1707, 0, 1707, 0, 36]);
    assert!(dir.dead("code").iter().all(|code| code == "http-502"));
}
