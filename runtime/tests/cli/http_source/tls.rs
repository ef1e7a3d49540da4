//! HTTPS and HTTP/2, spoken by curl, with certificates that OpenSSL made.

use std::process::Command;

use super::{Receiver, to_file};
use crate::sump::Dir;

/// Runs a program in a directory. Its output.
fn run(dir: &Dir, program: &str, arguments: &str) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).current_dir(dir.path("."));
    let output = command.output().unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

fn openssl(dir: &Dir, arguments: &str) {
    let (done, said) = run(dir, "openssl", arguments);
    assert!(done, "{said}");
}

/// An authority, and certificates for a server and a client.
fn certificates(dir: &Dir) {
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir, &format!("{new} -x509 -keyout ca.key -out ca.pem -subj /CN=ca -days 2"));
    dir.write("server.ext", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    dir.write("client.ext", "extendedKeyUsage=clientAuth\n");
    for name in ["server", "client"] {
        openssl(dir, &format!("{new} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let signed = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2");
        openssl(dir, &format!("{signed} -extfile {name}.ext -out {name}.pem"));
    }
}

#[test]
fn what_is_sent_is_encrypted_and_http_2_is_agreed_on() {
    let dir = to_file("tls = { cert = 'server.pem', key = 'server.key' }");
    certificates(&dir);
    let receiver = Receiver::start(&dir);
    let url = format!("https://{}/", receiver.address);
    for (version, options) in [("2", ""), ("1.1", "--http1.1 ")] {
        let told = "-sS --write-out %{http_version} --data-binary [1]";
        let (done, said) = run(&dir, "curl", &format!("{options}--cacert ca.pem {told} {url}"));
        assert!(done && said == format!("{{\"events\":1}}\n{version}"), "{said}");
    }
    assert!(!run(&dir, "curl", &format!("-sS --data-binary [1] {url}")).0, "nobody has signed it");
    assert!(!run(&dir, "curl", &format!("-sS --data-binary [1] http://{}/", receiver.address)).0);
    receiver.stop().with(0);
    assert_eq!(dir.read("out"), "[1]\n[1]\n");
}

#[test]
fn clients_show_certificates_where_they_have_to() {
    let dir = to_file("tls = { cert = 'server.pem', key = 'server.key', client_ca = 'ca.pem' }");
    certificates(&dir);
    let receiver = Receiver::start(&dir);
    let curl = format!("-sS --cacert ca.pem --data-binary [1] https://{}/", receiver.address);
    assert!(!run(&dir, "curl", &curl).0);
    let (done, said) = run(&dir, "curl", &format!("--cert client.pem --key client.key {curl}"));
    assert!(done && said == "{\"events\":1}\n", "{said}");
    receiver.stop().with(0);
}

#[test]
fn http_2_is_spoken_without_tls_to_whoever_knows() {
    let dir = to_file("");
    let receiver = Receiver::start(&dir);
    let body: String = (0..200_000).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    dir.write("body", &body);
    let told = "-sS --http2-prior-knowledge --write-out %{http_version} --data-binary @body";
    let (done, said) = run(&dir, "curl", &format!("{told} http://{}/", receiver.address));
    assert!(done && said == "{\"events\":200000}\n2", "{said}");
    receiver.stop().with(0);
    assert!(dir.read("out") == body);
}

#[test]
fn certificates_that_can_not_be_used_end_the_run_before_it_starts() {
    let dir = to_file("tls = { cert = 'server.pem', key = 'missing.key' }");
    certificates(&dir);
    dir.done().with(2).saying(&["missing.key"]);
    dir.sump(["check", "sump.toml"]).end().with(2).saying(&["missing.key", "sump.toml:"]);
    let dir = to_file("tls = { cert = 'server.pem', key = 'client.key' }");
    certificates(&dir);
    dir.done().with(2).saying(&["client.key does not fit server.pem"]);
}
