//! A server that sends and publishes in turn, compressed, and echoes meanwhile; and raddle's client as one of its subscribers.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use raddle::{Client, Close, CloseCode, Deflate, Handler, HandlerError, Message, Server, Writer};

use crate::exchange::{CODE, KINDS, REASON, ROUNDS, text};

/// Serves so many subscribers: once they are all there, each gets all rounds of messages of its own and of publications.
pub fn serve(engine: &str, subscribers: usize) -> Result<(), Box<dyn Error>> {
    let deflate = Deflate { threshold: 0, ..Deflate::default() };
    let server = Server::builder().bind("127.0.0.1:0")?.deflate(deflate).build()?;
    let topics = server.clone();
    match engine {
        "threads" => server.start(move |mut reader, writer| {
            topics.subscribe(&writer, ALL)?;
            while let Some(message) = reader.next_message()? {
                writer.send(message)?;
            }
            Ok(())
        })?,
        "pool" => server.start_pool(Echoing { server: topics })?,
        other => return Err(format!("there is no engine {other}").into()),
    }
    println!("listening on ws://{}", server.local_addr());
    let patience = Instant::now() + PATIENCE;
    while server.subscribers(ALL) < subscribers {
        if Instant::now() > patience {
            return Err(format!("{} of {subscribers} subscribers have come", server.subscribers(ALL)).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let known = server.connections();
    let writers: Vec<Writer> = known.iter().filter_map(|known| server.connection(known.id)).collect();
    for index in 0..ROUNDS {
        for writer in &writers {
            writer.send(&*text(OWN, index))?;
        }
        server.publish(ALL, &*text(SHARED, index));
    }
    // It is ended by whoever has started it.
    server.join(PATIENCE).map_err(|running| format!("nobody has ended it: {running}").into())
}

struct Echoing {
    server: Server,
}

impl Handler for Echoing {
    type State = ();

    fn on_open(&self, connection: &Writer) -> Result<(), HandlerError> {
        self.server.subscribe(connection, ALL)?;
        Ok(())
    }

    fn on_message(&self, connection: &Writer, (): &mut (), message: Message<'_>) -> Result<(), HandlerError> {
        connection.send(message)?;
        Ok(())
    }
}

/// Subscribes, and takes all rounds of all kinds, each in order.
pub fn subscribe(url: &str, deflate: Option<Deflate>) -> Result<(), Box<dyn Error>> {
    let mut client = Client::new();
    if let Some(deflate) = deflate {
        client = client.deflate(deflate);
    }
    let (mut reader, writer) = client.connect(url)?.split();
    if writer.info().deflate.is_some() != deflate.is_some() {
        return Err(format!("what was agreed on: {:?}", writer.info().deflate).into());
    }
    let mut next = [0; KINDS.len()];
    writer.send(&*text(ECHO, 0))?;
    while next != [ROUNDS; KINDS.len()] {
        let Some(Message::Text(received)) = reader.next_message()? else { return Err("closed early".into()) };
        let kind = KINDS.iter().position(|kind| received.starts_with(&format!("{{\"{kind}\"")));
        let kind = kind.ok_or("a message of no kind")?;
        if received != text(KINDS[kind], next[kind]) {
            return Err(format!("message {} of kind {} differs", next[kind], KINDS[kind]).into());
        }
        next[kind] += 1;
        if KINDS[kind] == ECHO && next[kind] < ROUNDS {
            writer.send(&*text(ECHO, next[kind]))?;
        }
    }
    let end = reader.close(Close { code: CloseCode(CODE), reason: REASON });
    if end.is_clean() { Ok(()) } else { Err(format!("the end: {end}").into()) }
}

/// What each gets for itself, what all get, and what comes back.
const OWN: &str = KINDS[0];
const SHARED: &str = KINDS[1];
const ECHO: &str = KINDS[2];
/// The topic of all.
const ALL: &str = "all";
const PATIENCE: Duration = Duration::from_secs(60);
