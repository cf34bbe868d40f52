//! CPU time of a client per round trip: it sends a message and waits for its echo.
//!
//! All clients talk to the same server. The raw one sends bytes that were made before, and counts what comes back.

use std::error::Error;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use raddle::{Connection, Message};
use tungstenite::WebSocket;

use crate::Effort;
use crate::peers::RADDLE_THREADS;
use crate::process::{self, Server};
use crate::report::{median, table};
use crate::wire::{self, Wire};

const NAMES: [&str; 3] = ["raw socket", "raddle", "tungstenite"];
const PAYLOADS: [usize; 2] = [125, 16 * 1024];

pub fn run(effort: Effort) -> Result<(), Box<dyn Error>> {
    process::pin_load();
    println!(
        "client: client CPU µs per round trip, and its ratio to a raw socket; medians of {} rounds\n",
        effort.rounds
    );
    let server = Server::start(&RADDLE_THREADS, &[])?;
    let mut rows = Vec::new();
    for (_, payload) in (1..).zip(PAYLOADS).filter(|(number, _)| effort.cell.is_none_or(|only| only == *number)) {
        let costs = measure(&server, payload, effort)?;
        let mut row = vec![payload.to_string()];
        for client in &costs {
            let ratios: Vec<f64> = client.iter().zip(&costs[0]).map(|(cost, raw)| cost / raw).collect();
            row.push(format!("{:.2} ({:.2})", median(client), median(&ratios)));
        }
        rows.push(row);
    }
    let head: Vec<_> = ["payload"].into_iter().chain(NAMES).map(str::to_owned).collect();
    table(&head, &rows);
    Ok(())
}

/// For each client, the cost in each round, in µs.
fn measure(server: &Server, payload: usize, effort: Effort) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let mut clients =
        [Client::raw(server, payload)?, Client::raddle(server, payload)?, Client::tungstenite(server, payload)?];
    let mut costs = vec![Vec::new(); clients.len()];
    for round in 0..=effort.rounds {
        let mut order: Vec<usize> = (0..clients.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let (before, until) = (process::own_cpu(), Instant::now() + Duration::from_secs_f64(effort.seconds));
            let mut trips = 0;
            while Instant::now() < until {
                // The clock is read once for many of them.
                for _ in 0..100 {
                    clients[place].round_trip()?;
                }
                trips += 100;
            }
            // The first round warms up.
            if round > 0 {
                costs[place].push((process::own_cpu() - before).as_secs_f64() * 1e6 / f64::from(trips));
            }
        }
    }
    Ok(costs)
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

    fn round_trip(&mut self) -> Result<(), Box<dyn Error>> {
        let same = match self {
            Self::Raw { stream, request, reply } => {
                wire::round_trip(stream, request, reply)?;
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
