//! CPU time of a client per round trip: it sends a message and waits for its echo.
//!
//! All clients talk to the same server. The raw one sends bytes that were made before, and counts what comes back.

use std::error::Error;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use raddle::{Connection, Message};
use tungstenite::WebSocket;

use crate::options::Options;
use crate::peers::RADDLE_THREADS;
use crate::process::{self, Server};
use crate::report::{Table, Value};
use crate::rounds;
use crate::wire::{self, Wire};

type Connect = fn(&Server, usize) -> Result<Client, Box<dyn Error>>;

/// What the others are compared to comes first.
const CLIENTS: [(&str, Connect); 3] =
    [("raw socket", Client::raw), ("raddle", Client::raddle), ("tungstenite", Client::tungstenite)];
const PAYLOADS: [usize; 2] = [125, 16 * 1024];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    let server = Server::start(&RADDLE_THREADS, &[])?;
    let mut rows: Vec<_> = CLIENTS.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    let time = Duration::from_secs_f64(options.seconds);
    for payload in PAYLOADS {
        eprintln!("bench: client {payload}");
        let connect = |(_, connect): &(&str, Connect)| connect(&server, payload).map_err(Value::absent);
        let mut clients: Vec<_> = CLIENTS.iter().map(connect).collect();
        let found = rounds::interleave(&mut clients, options.rounds, |client| client.cost(time));
        for (row, value) in rows.iter_mut().zip(rounds::summarize(&found, |_| Some(0))) {
            row.1.push(value);
        }
    }
    Ok(vec![Table {
        name: "client",
        title: "Client".to_owned(),
        explanation:
            "Client CPU µs per round trip with raddle's server, and in parentheses its ratio to a raw socket in \
            the same round; medians. Columns: payload bytes."
                .to_owned(),
        columns: PAYLOADS.iter().map(usize::to_string).collect(),
        rows,
    }])
}

enum Client {
    Raw { stream: TcpStream, request: Vec<u8>, reply: Vec<u8> },
    Raddle { connection: Connection, payload: Vec<u8> },
    Tungstenite { socket: Box<WebSocket<TcpStream>>, payload: tungstenite::Bytes },
}

impl Client {
    fn raw(server: &Server, payload: usize) -> Result<Self, Box<dyn Error>> {
        let stream = Wire::WebSocket.connect(server.address)?;
        Ok(Self::Raw { stream, request: wire::request(payload), reply: Wire::WebSocket.reply(payload) })
    }

    fn raddle(server: &Server, payload: usize) -> Result<Self, Box<dyn Error>> {
        let connection = raddle::connect(&format!("ws://{}/", server.address))?;
        Ok(Self::Raddle { connection, payload: wire::payload(payload).collect() })
    }

    fn tungstenite(server: &Server, payload: usize) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        let (socket, _) = tungstenite::client(format!("ws://{}/", server.address), stream)?;
        Ok(Self::Tungstenite { socket: Box::new(socket), payload: wire::payload(payload).collect() })
    }

    /// CPU time of a round trip, in µs.
    fn cost(&mut self, time: Duration) -> Result<f64, Box<dyn Error>> {
        let (before, until) = (process::own_cpu(), Instant::now() + time);
        let mut trips = 0;
        while Instant::now() < until {
            // The clock is read once for many of them.
            for _ in 0..100 {
                self.round_trip()?;
            }
            trips += 100;
        }
        Ok((process::own_cpu() - before).as_secs_f64() * 1e6 / f64::from(trips))
    }

    fn round_trip(&mut self) -> Result<(), Box<dyn Error>> {
        let same = match self {
            Self::Raw { stream, request, reply } => {
                wire::round_trip(&*stream, request, reply)?;
                true
            }
            Self::Raddle { connection, payload } => {
                connection.send(&*payload)?;
                matches!(connection.next_message()?, Some(Message::Binary(echo)) if echo.len() == payload.len())
            }
            Self::Tungstenite { socket, payload } => {
                socket.send(tungstenite::Message::Binary(payload.clone()))?;
                matches!(socket.read()?, tungstenite::Message::Binary(echo) if echo.len() == payload.len())
            }
        };
        if same { Ok(()) } else { Err("something else came back".into()) }
    }
}
