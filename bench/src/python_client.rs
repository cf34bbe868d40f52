//! CPU time of clients in Python per round trip, as [`client`](crate::client) measures those in Rust.
//!
//! Each is a process of its own, on the core of the load: it measures itself, when it is told to.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::options::Options;
use crate::peers::launch::{self, Missing};
use crate::peers::{RADDLE_THREADS, python};
use crate::process::{self, Server};
use crate::report::{Table, Value};
use crate::rounds;

/// What the others are compared to comes first.
const CLIENTS: [(&str, &str); 3] =
    [("raw Python socket", "raw"), ("raddle python", "raddle"), ("websockets sync", "websockets")];
const PAYLOADS: [usize; 2] = [125, 16 * 1024];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    let server = Server::start(&RADDLE_THREADS, &[])?;
    let mut rows: Vec<_> = CLIENTS.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    for payload in PAYLOADS {
        eprintln!("bench: python-client {payload}");
        let start = |(_, kind): &(&str, &str)| Client::start(kind, &server, payload).map_err(Value::absent);
        let mut clients: Vec<_> = CLIENTS.iter().map(start).collect();
        let found = rounds::interleave(&mut clients, options.rounds, |client| client.cost(options.seconds));
        for (row, value) in rows.iter_mut().zip(rounds::summarize(&found, |_| Some(0))) {
            row.1.push(value);
        }
    }
    Ok(vec![Table {
        name: "python-client",
        title: "Python client".to_owned(),
        explanation:
            "Client CPU µs per round trip with raddle's server, and in parentheses its ratio to a raw socket in \
            Python in the same round; medians. Columns: payload bytes."
                .to_owned(),
        columns: PAYLOADS.iter().map(usize::to_string).collect(),
        rows,
    }])
}

/// A client that runs, and is ended when dropped.
struct Client {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(kind: &str, server: &Server, payload: usize) -> Result<Self, Box<dyn Error>> {
        let mut command = launch::with_raddle(Command::new(python()?))?;
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peers/python/client.py"));
        command.args([kind, &server.address.ip().to_string(), &server.address.port().to_string()]);
        let mut child = command.arg(payload.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, output })
    }

    /// CPU time of a round trip, in µs.
    fn cost(&mut self, seconds: f64) -> Result<f64, Box<dyn Error>> {
        let input = self.child.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{seconds}")?;
        input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim().parse().map_err(|_| Missing::because("the client has ended".to_owned()).into())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
