//! The `http` sink and a proxy, tinyproxy: requests go through the one that is configured, and through no other.

use crate::endpoint::{Answer, Endpoint};
use crate::nginx::{CA, nginx, quakes};
use crate::server::{Server, free_port};
use crate::sump::Dir;

/// A proxy that asks for a password, with its log.
fn tinyproxy() -> (Dir, Server) {
    let (dir, port) = (Dir::new(), free_port());
    let config = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogFile \"requests\"\nLogLevel Connect\n\
         ViaProxyName \"tests\"\nBasicAuth sump hunter2\n"
    );
    dir.write("tinyproxy.conf", config);
    let folder = dir.path("");
    let server = Server::start("tinyproxy", &["-d", "-c", "tinyproxy.conf"], &folder, port);
    (dir, server)
}

fn through(proxy: &Server, password: &str) -> String {
    format!("proxy = 'http://sump:{password}@127.0.0.1:{}'\n", proxy.port)
}

/// All quakes to an endpoint, in the clear.
fn plainly(endpoint: &Endpoint, dir: &Dir, more: &str) {
    let source = format!("[source.quakes]\ntype = 'file'\npath = '{}'\n", crate::sump::QUAKES);
    let sink =
        format!("[pipeline.p.sink.out]\ntype = 'http'\nurl = '{}'\nretry.initial = '10ms'\n{more}", endpoint.url);
    dir.write("sump.toml", source + &sink);
}

#[test]
fn requests_go_through_the_proxy_that_is_configured() {
    let (endpoint, dir, (_log, proxy)) = (Endpoint::always(Answer::Status(200)), Dir::new(), tinyproxy());
    plainly(&endpoint, &dir, &through(&proxy, "hunter2"));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    let asked = endpoint.asked();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|asked| asked.headers["via"].contains("tests")));
    assert!(asked.iter().all(|asked| !asked.headers.contains_key("proxy-authorization")));
}

#[test]
fn tls_goes_through_the_proxy_from_end_to_end() {
    let (endpoint, (log, proxy)) = (Endpoint::always(Answer::Status(200)), tinyproxy());
    let (dir, server) = nginx(&endpoint.url, "client_max_body_size 10m;");
    quakes(&server, &dir, &format!("{CA}{}", through(&proxy, "hunter2")));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    assert!(dir.lines("access.log").iter().all(|line| line.starts_with("200 HTTP/2.0")));
    let connect = format!("CONNECT 127.0.0.1:{} HTTP/1.1", server.port);
    assert!(log.read("requests").contains(&connect), "{}", log.read("requests"));
    assert!(endpoint.asked().iter().all(|asked| !asked.headers.contains_key("via")), "the proxy reads none of it");
}

#[test]
fn credentials_that_the_proxy_does_not_take_wait_for_an_operator_and_are_not_shown() {
    let (endpoint, (_log, proxy)) = (Endpoint::always(Answer::Status(200)), tinyproxy());
    let (tls, server) = nginx(&endpoint.url, "");
    let none = format!("proxy = 'http://127.0.0.1:{}'\n", proxy.port);
    quakes(&server, &tls, &format!("{CA}{none}gate.probe = '50ms'\n"));
    let plain = Dir::new();
    plainly(&endpoint, &plain, &format!("{}gate.probe = '50ms'\n", through(&proxy, "swordfish")));
    // This proxy answers 407 where there are no credentials, and 401 where they are wrong.
    for (dir, why) in [(&tls, "the proxy wants other credentials"), (&plain, "answered 401")] {
        let ended = dir.run(["sump.toml", "--drain-timeout", "1s"]).end().with(75).saying(&[why]);
        assert!(!format!("{ended:?}").contains("swordfish"), "{ended:?}");
    }
    assert!(endpoint.asked().is_empty());
}

#[test]
fn a_proxy_of_the_environment_is_left_alone() {
    let (endpoint, dir) = (Endpoint::always(Answer::Status(200)), Dir::new());
    plainly(&endpoint, &dir, "");
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let mut run = dir.run(["sump.toml"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        run = run.env(name, &nowhere);
    }
    assert_eq!(run.end().with(0).written("p:out"), 1707);
    assert!(endpoint.asked().iter().all(|asked| !asked.headers.contains_key("via")));
}
