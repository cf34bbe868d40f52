//! A chat: serves the page `examples/web/chat.html` and its WebSocket on `http://127.0.0.1:9001/`.
//!
//! Everybody hears everything, in the same order. Who is slow is let go and reconnects; nobody waits for it.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::VecDeque;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lexopt::{Arg, Parser, ValueExt};
use raddle::{
    Cause, Close, CloseCode, ConnectionId, DecisionError, HandlerError, Message, Phase, Reader, Request, Response,
    ResponseError, Server, WhenFull, Writer,
};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const PAGE: &str = include_str!("../web/chat.html");
/// What somebody who joins gets to read: the newest messages, up to this number and this size in bytes.
const HISTORY: usize = 500;
const HISTORY_BYTES: usize = 4 << 20;

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
    let Some(listen) = listen_address(Parser::from_env())? else {
        println!("chat [--listen HOST:PORT]: serves a chat, by default on 127.0.0.1:9001; port 0 picks one");
        return Ok(());
    };
    let server = Server::builder()
        .bind(&listen)
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?
        .with_options(|options| options.when_full = WhenFull::Close)
        .on_request(decide)
        .build()?;
    // Before anybody is told that we serve: a signal that comes right after that ends us cleanly too.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let room = Arc::new(Room { server: server.clone(), state: Mutex::default() });
    server.start(move |reader, writer| room.attend(reader, &writer))?;
    println!("listening on http://{}", server.local_addr());
    signals.forever().next();
    server.stop(Duration::from_secs(5));
    server.join(Duration::from_secs(10))?;
    Ok(())
}

/// Where the command line says to listen; `None`: it asks for help.
fn listen_address(mut arguments: Parser) -> Result<Option<String>, Box<dyn Error>> {
    let mut address = String::from("127.0.0.1:9001");
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => address = arguments.value()?.string()?,
            Arg::Long("help") => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(address))
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

/// What everybody hears.
#[derive(Clone)]
enum Said {
    Text(Arc<str>),
    Picture(Arc<[u8]>),
}

struct Room {
    server: Server,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    history: VecDeque<Arc<str>>,
    history_bytes: usize,
}

struct Member {
    id: ConnectionId,
    name: String,
    writer: Writer,
    /// What was said while the member still gets the history; `None`: it has it.
    behind: Option<Vec<Said>>,
}

impl Room {
    /// Sees one person from joining to leaving.
    fn attend(&self, mut reader: Reader, writer: &Writer) -> Result<(), HandlerError> {
        let id = ConnectionId::of(writer.info());
        let (name, online, history) = self.enter(id, writer);
        let result = welcome(writer, &name, &online, &history)
            .and_then(|()| self.catch_up(id, writer))
            .and_then(|()| self.relay(&name, &mut reader, writer));
        self.leave(id, &name);
        result
    }

    /// Gives the newcomer a name that nobody has, and tells the others.
    fn enter(&self, id: ConnectionId, writer: &Writer) -> (String, Vec<String>, Vec<Arc<str>>) {
        let asked = asked_name(&writer.info().target);
        let mut state = self.lock();
        let is_free = |name: &String| state.members.iter().all(|member| member.name != *name);
        let numbered = (2..).map(|number| format!("{asked} {number}"));
        let name = std::iter::once(asked.clone()).chain(numbered).find(is_free).expect("one of them is free");
        let history = state.history.iter().cloned().collect();
        // From here on, what is said waits until the history is there.
        let behind = Some(Vec::new());
        state.members.push(Member { id, name: name.clone(), writer: writer.clone(), behind });
        let online = self.online(&state);
        self.tell(&mut state, &[Said::json(&json!({ "type": "join", "name": name, "online": online }))]);
        (name, online, history)
    }

    /// Sends what was said while the newcomer got the history.
    fn catch_up(&self, id: ConnectionId, writer: &Writer) -> Result<(), HandlerError> {
        loop {
            let missed = {
                let mut state = self.lock();
                let Some(member) = state.members.iter_mut().find(|member| member.id == id) else { return Ok(()) };
                match member.behind.take() {
                    Some(missed) if !missed.is_empty() => {
                        member.behind = Some(Vec::new());
                        missed
                    }
                    _ => return Ok(()),
                }
            };
            for said in &missed {
                writer.send(said.message())?;
            }
        }
    }

    fn relay(&self, name: &str, reader: &mut Reader, writer: &Writer) -> Result<(), HandlerError> {
        while let Some(message) = reader.next_message()? {
            match message {
                Message::Text(text) => {
                    let Ok(request) = serde_json::from_str::<Value>(text) else {
                        writer.close(Close { code: CloseCode::POLICY, reason: "that is no JSON" })?;
                        continue;
                    };
                    if let (Some("say"), Some(text)) = (request["type"].as_str(), request["text"].as_str()) {
                        let at = now();
                        let said = Said::json(&json!({ "type": "say", "from": name, "text": text, "at": at }));
                        let mut state = self.lock();
                        state.remember(json!({ "from": name, "text": text, "at": at }).to_string());
                        self.tell(&mut state, &[said]);
                    }
                }
                Message::Binary(picture) => {
                    let header = Said::json(&json!({ "type": "picture", "from": name, "at": now() }));
                    self.tell(&mut self.lock(), &[header, Said::Picture(picture.into())]);
                }
            }
        }
        Ok(())
    }

    fn leave(&self, id: ConnectionId, name: &str) {
        let mut state = self.lock();
        state.members.retain(|member| member.id != id);
        let online = self.online(&state);
        self.tell(&mut state, &[Said::json(&json!({ "type": "leave", "name": name, "online": online }))]);
    }

    /// The names of those whose connection the server's registry has as open.
    fn online(&self, state: &State) -> Vec<String> {
        let mut names: Vec<_> = self
            .server
            .connections()
            .into_iter()
            .filter(|connection| connection.phase == Phase::Open)
            .filter_map(|connection| state.members.iter().find(|member| member.id == connection.id))
            .map(|member| member.name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Sends to everybody. The state is locked, so all hear the same in the same order; nothing here waits.
    fn tell(&self, state: &mut State, said: &[Said]) {
        for member in &mut state.members {
            match &mut member.behind {
                Some(behind) if behind.len() < HISTORY => behind.extend_from_slice(said),
                Some(_) => member.writer.cut(Cause::OutgoingFull),
                None => {
                    for said in said {
                        // A member that does not keep up is let go by the server, and one that has gone leaves by itself.
                        let _ = member.writer.try_send(said.message());
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

/// Sends the history piece by piece, as one message: the whole of it never stands in memory.
fn welcome(writer: &Writer, name: &str, online: &[String], history: &[Arc<str>]) -> Result<(), HandlerError> {
    let mut message = writer.begin();
    message.send(&format!(r#"{{"type":"welcome","you":{},"online":{},"history":["#, json!(name), json!(online)))?;
    for (index, entry) in history.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        message.send(&format!("{comma}{entry}"))?;
    }
    message.finish("]}")?;
    Ok(())
}

impl Said {
    fn json(value: &Value) -> Self {
        Self::Text(value.to_string().into())
    }

    fn message(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Picture(bytes) => Message::Binary(bytes),
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
