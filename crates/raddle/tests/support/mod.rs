//! The examples as programs, and a client of bytes: nothing here knows how raddle works inside.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest wait for anything that takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The program of an example, built the first time that one is asked for.
fn program(example: &str) -> Command {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "raddle", "--examples", "--message-format", "json"]);
        let output = build.stderr(Stdio::inherit()).output().expect("cargo runs");
        assert!(output.status.success(), "the examples do not build");
        let artifacts = output.stdout.lines().map_while(Result::ok);
        artifacts
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .filter_map(|it| Some((it["target"]["name"].as_str()?.into(), it["executable"].as_str()?.into())))
            .collect()
    });
    Command::new(&built[example])
}

/// Runs an example that should end by itself.
pub(crate) fn run(example: &str, flags: &[&str]) -> Output {
    let mut child =
        program(example).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait(&mut child, flags);
    child.wait_with_output().expect("its output")
}

/// An example that serves, ended at the latest when dropped.
pub(crate) struct Served {
    child: Child,
    /// What its first line says behind `listening on `.
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Served {
    /// Starts it on a free port.
    pub(crate) fn start(example: &str, flags: &[&str]) -> Self {
        let mut child = program(example)
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (line, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|it| line.send(it)));
        let line = lines.recv_timeout(SOON).expect("it says where it listens");
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it says: {line}")).to_owned();
        let (_, port) = url.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        Self { child, url, port }
    }

    /// Connects without a word.
    pub(crate) fn connect(&self) -> TcpStream {
        Self::connect_at(([127, 0, 0, 1], self.port).into())
    }

    fn connect_at(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        stream
    }

    /// Asks for a WebSocket, with further header lines, and gives the head of the answer with the stream.
    pub(crate) fn ask(&self, target: &str, headers: &str) -> (String, TcpStream) {
        self.ask_over(self.connect(), target, headers)
    }

    fn ask_over(&self, mut stream: TcpStream, target: &str, headers: &str) -> (String, TcpStream) {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).expect("the request is taken");
        (read_head(&mut stream), stream)
    }

    /// Opens a WebSocket.
    pub(crate) fn open(&self) -> TcpStream {
        self.open_over(self.connect())
    }

    /// Opens a WebSocket at another address on which it listens.
    pub(crate) fn open_at(&self, address: SocketAddr) -> TcpStream {
        self.open_over(Self::connect_at(address))
    }

    fn open_over(&self, stream: TcpStream) -> TcpStream {
        let (head, stream) = self.ask_over(stream, "/", "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it still runs");
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait(&mut self.child, &["until it ends"])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child, what: &[&str]) -> ExitStatus {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    panic!("it does not end: {what:?}");
}

/// Reads the head of an answer; nothing, where the connection was closed unheard.
fn read_head(stream: &mut TcpStream) -> String {
    String::from_utf8(read_until(stream, b"\r\n\r\n")).expect("a head is text")
}

/// Reads until what came ends with `bytes`, or the stream ends, and gives all of it.
#[track_caller]
pub(crate) fn read_until(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(bytes) {
        match stream.read(&mut byte) {
            Ok(1) => read.push(byte[0]),
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("{error}, not {}, behind {}", bytes.escape_ascii(), read.escape_ascii())
            }
            _ => break,
        }
    }
    read
}

/// Reads as many bytes as are expected, and compares them.
#[track_caller]
pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    match stream.read_exact(&mut read) {
        Ok(()) => assert_eq!(read.escape_ascii().to_string(), bytes.escape_ascii().to_string()),
        Err(error) => panic!("{error}, not {}", bytes.escape_ascii()),
    }
}

/// Waits for the end of the stream, a reset included, and gives what came before it.
#[track_caller]
pub(crate) fn to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("the stream does not end: {error}"),
        _ => bytes,
    }
}
