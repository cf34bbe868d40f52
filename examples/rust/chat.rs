//! A chat: serves the page `examples/web/chat.html` and its WebSocket on `http://127.0.0.1:9001/`.
//!
//! Everybody hears everything, in the same order. Who is slow is let go and reconnects; nobody waits for it.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lexopt::{Arg, Parser, ValueExt};
use raddle::{
    Close, CloseCode, ConnectionId, DecisionError, End, Handler, HandlerError, Message, Phase, Request, Response,
    ResponseError, SendError, Server, ServerTls, WhenFull, Writer,
};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const PAGE: &str = include_str!("../web/chat.html");
/// The topic that everybody has subscribed to.
const ROOM: &str = "room";
/// What somebody who joins gets to read: the newest messages, up to this number and this size in bytes.
const HISTORY: usize = 500;
const HISTORY_BYTES: usize = 4 << 20;
/// Bytes that may wait for somebody: the history, and what is said meanwhile.
const BEHIND: usize = 2 * HISTORY_BYTES;

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(Command { listen, tls }) = parse(Parser::from_env())? else {
        println!("chat [--listen HOST:PORT] [--tls]: serves a chat, by default on 127.0.0.1:9001; port 0 picks one");
        return Ok(());
    };
    let builder = Server::builder();
    let bound = if tls { builder.bind_tls(&listen, &self_signed(&listen)?) } else { builder.bind(&listen) };
    let server = bound
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?
        .with_options(|options| {
            options.when_full = WhenFull::Close;
            options.outgoing_limit = BEHIND;
        })
        .on_request(decide)
        .build()?;
    // Before anybody is told that we serve: a signal that comes right after that ends us cleanly too.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    server.start_pool(Room { server: server.clone(), state: Mutex::default() })?;
    println!("listening on {}://{}", if tls { "https" } else { "http" }, server.local_addr());
    signals.forever().next();
    server.stop(Duration::from_secs(5));
    server.join(Duration::from_secs(10))?;
    Ok(())
}

/// What the command line asks for.
struct Command {
    listen: String,
    tls: bool,
}

/// What the command line asks for; `None`: its help.
fn parse(mut arguments: Parser) -> Result<Option<Command>, Box<dyn Error>> {
    let (mut listen, mut tls) = (String::from("127.0.0.1:9001"), false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => listen = arguments.value()?.string()?,
            Arg::Long("tls") => tls = true,
            Arg::Long("help") => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(Command { listen, tls }))
}

/// TLS with a certificate that is made here, for this machine's names and for the host of `listen`. A browser asks before it
/// goes on.
fn self_signed(listen: &str) -> Result<ServerTls, Box<dyn Error>> {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    let names = ["localhost", "127.0.0.1", "::1", host].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    Ok(ServerTls::from_pem(made.cert.pem(), made.signing_key.serialize_pem())?)
}

/// Serves the page, and opens WebSockets at `/chat`; what asks for something else there is told so by `accept`.
fn decide(request: Request) {
    let decision = match (request.is_websocket(), request.path()) {
        (_, "/chat") => request.accept(),
        (false, "/") => page().map_err(DecisionError::from).and_then(|page| request.respond(page)),
        _ => request.refuse(404),
    };
    if let Err(error) = decision {
        log::info!("a request was not answered as it was meant to be: {error}");
    }
}

fn page() -> Result<Response, ResponseError> {
    Ok(Response::new(200)?.header("Content-Type", "text/html; charset=utf-8")?.body(PAGE))
}

struct Room {
    server: Server,
    /// Locked while something is said, so that the history and all who listen have it in the same order.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<ConnectionId, String>,
    history: VecDeque<Arc<str>>,
    history_bytes: usize,
}

impl Handler for Room {
    /// The name of the one who has joined.
    type State = String;

    /// Gives the newcomer a name that nobody has and what was said so far, and tells the others.
    fn on_open(&self, connection: &Writer) -> Result<String, HandlerError> {
        let id = ConnectionId::of(connection.info());
        let asked = asked_name(&connection.info().target);
        let mut state = self.lock();
        let is_free = |name: &String| state.names.values().all(|known| known != name);
        let numbered = (2..).map(|number| format!("{asked} {number}"));
        let name = std::iter::once(asked.clone()).chain(numbered).find(is_free).expect("one of them is free");
        state.names.insert(id, name.clone());
        let online = self.online(&state);
        // Behind this comes whatever is said from now on.
        let sent = state.welcome(connection, &name, &online);
        self.server.subscribe(connection, ROOM).expect("it is in no other room");
        let join = json!({ "type": "join", "name": name, "online": online }).to_string();
        self.server.publish(ROOM, &join);
        if let Err(error) = sent {
            self.leave(state, id, &name);
            return Err(error.into());
        }
        Ok(name)
    }

    fn on_message(&self, connection: &Writer, name: &mut String, message: Message<'_>) -> Result<(), HandlerError> {
        match message {
            Message::Text(text) => {
                let Ok(request) = serde_json::from_str::<Value>(text) else {
                    connection.close(Close { code: CloseCode::POLICY, reason: "that is no JSON" })?;
                    return Ok(());
                };
                if let (Some("say"), Some(text)) = (request["type"].as_str(), request["text"].as_str()) {
                    let at = now();
                    let said = json!({ "type": "say", "from": name, "text": text, "at": at }).to_string();
                    let mut state = self.lock();
                    state.remember(json!({ "from": name, "text": text, "at": at }).to_string());
                    self.server.publish(ROOM, &said);
                }
            }
            Message::Binary(picture) => {
                let header = json!({ "type": "picture", "from": name, "at": now() }).to_string();
                let _state = self.lock();
                self.server.publish(ROOM, &header);
                self.server.publish(ROOM, picture);
            }
        }
        Ok(())
    }

    fn on_close(&self, connection: &Writer, name: String, _end: &End) {
        self.leave(self.lock(), ConnectionId::of(connection.info()), &name);
    }
}

impl Room {
    fn leave(&self, mut state: MutexGuard<'_, State>, id: ConnectionId, name: &str) {
        state.names.remove(&id);
        let online = self.online(&state);
        let leave = json!({ "type": "leave", "name": name, "online": online }).to_string();
        self.server.publish_except(ROOM, &leave, id);
    }

    /// The names of those whose connection the server's registry has as open.
    fn online(&self, state: &State) -> Vec<String> {
        let connections = self.server.connections().into_iter();
        let open = connections.filter(|connection| connection.phase == Phase::Open);
        let mut names: Vec<_> = open.filter_map(|connection| state.names.get(&connection.id).cloned()).collect();
        names.sort_unstable();
        names
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends what a newcomer gets to read, piece by piece, as one message.
    fn welcome(&self, connection: &Writer, name: &str, online: &[String]) -> Result<(), SendError> {
        let mut message = connection.begin();
        message.send(&format!(r#"{{"type":"welcome","you":{},"online":{},"history":["#, json!(name), json!(online)))?;
        for (index, entry) in self.history.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            message.send(&format!("{comma}{entry}"))?;
        }
        message.finish("]}")?;
        Ok(())
    }

    /// Adds to the history, and forgets the oldest where it gets too long.
    fn remember(&mut self, entry: String) {
        self.history_bytes += entry.len();
        self.history.push_back(entry.into());
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.len();
        }
    }
}

/// The name in the target's query, as `/chat?name=Ada`.
fn asked_name(target: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let name = query.split('&').find_map(|part| part.strip_prefix("name=")).unwrap_or_default();
    let name = percent_decode(name);
    let name: String = name.trim().chars().filter(|char| !char.is_control()).take(40).collect();
    if name.is_empty() { "Somebody".into() } else { name }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
