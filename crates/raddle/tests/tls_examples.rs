//! The examples over TLS, as those see them who run them.
#![cfg(all(feature = "client", feature = "server", feature = "tls"))]

// Each test of the examples uses a part of it.
#[allow(dead_code)]
mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use raddle::{Client, ClientTls, ConnectError, Message, Reader, Server, ServerTls, TlsError, Writer};
use rustix::process::Signal;

use support::{SOON, Served, run};

/// A self-signed certificate of this machine, in two files.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("raddle-examples-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let files = Self { chain: directory.join("chain.pem"), key: directory.join("key.pem") };
        files.renew();
        files
    }

    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).expect("a certificate");
        fs::write(&self.chain, made.cert.pem()).expect("a file");
        fs::write(&self.key, made.signing_key.serialize_pem()).expect("a file");
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.chain.to_str().expect("a name"), "--tls-key", self.key.to_str().expect("a name")]
    }

    /// A client that trusts what is in the files now.
    fn client(&self) -> Client {
        let roots = fs::read(&self.chain).expect("it is there");
        Client::new().tls(ClientTls::new().without_system_roots().add_roots_pem(roots).expect("a root"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.chain.parent().expect("a directory"));
    }
}

#[test]
fn the_echo_server_takes_a_certificate_and_another_one_when_it_is_told_to() {
    for engine in ["threads", "pool"] {
        let files = Files::new(engine);
        let mut server = Served::start("echo_server", &[&files.flags()[..], &["--engine", engine]].concat());
        assert_eq!(server.url, format!("wss://127.0.0.1:{}", server.port));
        let before = files.client();
        let mut connection = before.connect(&server.url).expect("it is trusted");
        files.renew();
        server.signal(Signal::HUP);
        let deadline = Instant::now() + SOON;
        loop {
            match before.connect(&server.url) {
                Err(ConnectError::Tls(TlsError::SelfSigned)) => break,
                said => assert!(said.is_ok() && Instant::now() < deadline, "{said:?}"),
            }
        }
        files.client().connect(&server.url).expect("it shows the new one");
        connection.send("Hello").expect("it goes on");
        assert_eq!(connection.next_message(), Ok(Some(Message::Text("Hello"))));
        // What cannot be read changes nothing, and ends nothing.
        fs::write(&files.key, "nothing").expect("a file");
        server.signal(Signal::HUP);
        files.client().connect(&server.url).expect("it shows the same as before");
        server.signal(Signal::TERM);
        assert_eq!(connection.next_message(), Ok(None));
        assert_eq!(server.end().code(), Some(0));
    }
}

#[test]
fn the_chat_makes_its_own_certificate() {
    let server = Served::start("chat", &["--tls"]);
    assert_eq!(server.url, format!("https://127.0.0.1:{}", server.port));
    let url = format!("wss://127.0.0.1:{}/chat?name=Ada", server.port);
    let said = Client::new().connect(&url).map(drop);
    assert!(matches!(said, Err(ConnectError::Tls(TlsError::SelfSigned | TlsError::NoRoots))), "{said:?}");
    let careless = Client::new().tls(ClientTls::new().dangerous_accept_any_certificate());
    let mut connection = careless.connect(&url).expect("it takes any");
    let welcome = connection.next_message().expect("open").expect("not closed");
    assert!(welcome.as_bytes().starts_with(b"{\"type\":\"welcome\",\"you\":\"Ada\""), "{welcome:?}");
}

#[test]
fn the_echo_client_trusts_the_roots_that_it_is_given() {
    let files = Files::new("client");
    let tls = ServerTls::from_files(&files.chain, &files.key).expect("in order");
    let suite = move |mut reader: Reader, writer: Writer| {
        if reader.info().target.starts_with("/getCaseCount") {
            writer.send("1")?;
        } else if reader.info().target.starts_with("/runCase") {
            writer.send("Hello")?;
            assert_eq!(reader.next_message()?, Some(Message::Text("Hello")));
        }
        Ok(())
    };
    let server = Server::builder().bind_tls("127.0.0.1:0", &tls).expect("a port").start(suite).expect("it starts");
    let url = format!("wss://{}", server.local_addr());
    let output = run("echo_client", &[&url, "--ca", files.chain.to_str().expect("a name")]);
    assert_eq!(output.stdout, b"1 cases\n", "{}", String::from_utf8_lossy(&output.stderr));
    let output = run("echo_client", &[&url]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("echo_client: the server's certificate is self-signed") || said.contains("no root"),
        "{said}"
    );
    server.stop(SOON);
    server.join(SOON).expect("all have gone");
}
