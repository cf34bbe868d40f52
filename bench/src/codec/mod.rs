//! Time per frame in memory, on one core: what the libraries do without a socket.

mod fastwebsockets;
mod memory;
mod raddle;
mod sockudo;
mod tokio_websockets;
mod tungstenite;

use std::error::Error;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::process;
use crate::report::{Table, Value};
use crate::rounds;

/// What is measured, each of bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Masked binary frames, to messages.
    Parse(usize),
    /// Binary messages of a server, to frames.
    Encode(usize),
    Mask(usize),
    /// Check of text that has this many bytes.
    Ascii(usize),
    /// The same of about as many bytes, most characters of two.
    Greek(usize),
    /// From a browser's request to the response.
    Handshake,
}

/// Does the operation some times, and gives their number.
type Work = Box<dyn FnMut() -> u64>;

/// What a library does for an operation; `None`: its interface has no such function.
type Library = fn(Operation) -> Option<Work>;

const LIBRARIES: [(&str, Library); 5] = [
    ("raddle-core", raddle::work),
    ("tungstenite", tungstenite::work),
    ("fastwebsockets", fastwebsockets::work),
    ("sockudo-ws", sockudo::work),
    ("tokio-websockets", tokio_websockets::work),
];

const OPERATIONS: [Operation; 14] = [
    Operation::Parse(16),
    Operation::Parse(125),
    Operation::Parse(1024),
    Operation::Encode(16),
    Operation::Encode(125),
    Operation::Encode(1024),
    Operation::Mask(16),
    Operation::Mask(125),
    Operation::Mask(16384),
    Operation::Ascii(125),
    Operation::Ascii(1024),
    Operation::Greek(125),
    Operation::Greek(1024),
    Operation::Handshake,
];

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    process::pin_load();
    eprintln!("bench: codec");
    let is_ours = |name| name == LIBRARIES[0].0;
    let libraries: Vec<_> = LIBRARIES.iter().filter(|(name, _)| is_ours(*name) || options.is_wanted(name)).collect();
    let mut rows: Vec<_> = libraries.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    // A function in memory needs no more.
    let time = Duration::from_secs_f64(options.seconds / 8.0);
    for operation in OPERATIONS {
        let absent = || Value::Absent("-", String::new());
        let mut works: Vec<_> = libraries.iter().map(|(_, work)| work(operation).ok_or_else(absent)).collect();
        let found = rounds::interleave(&mut works, options.rounds, |work| Ok(nanoseconds(work, time)));
        for (row, value) in rows.iter_mut().zip(rounds::summarize(&found, |_| None)) {
            row.1.push(match value {
                Value::Found(time, _) => Value::Found(time, Some(1e3 / time)),
                absent => absent,
            });
        }
    }
    Ok(vec![Table {
        name: "codec",
        title: "In memory".to_owned(),
        explanation: EXPLANATION.to_owned(),
        columns: OPERATIONS.iter().map(|operation| operation.name()).collect(),
        rows,
    }])
}

fn nanoseconds(work: &mut Work, time: Duration) -> f64 {
    let (start, mut count) = (Instant::now(), 0);
    loop {
        count += work();
        let passed = start.elapsed();
        if passed >= time {
            return passed.as_nanos() as f64 / count as f64;
        }
    }
}

impl Operation {
    fn name(self) -> String {
        match self {
            Self::Parse(length) => format!("parse {length}"),
            Self::Encode(length) => format!("encode {length}"),
            Self::Mask(length) => format!("mask {length}"),
            Self::Ascii(length) => format!("UTF-8 {length} ASCII"),
            Self::Greek(length) => format!("UTF-8 {length} Greek"),
            Self::Handshake => "handshake".to_owned(),
        }
    }

    /// The text that is checked; `None` for other operations.
    fn text(self) -> Option<Vec<u8>> {
        match self {
            Self::Ascii(length) => Some("raddle ".bytes().cycle().take(length).collect()),
            Self::Greek(length) => {
                Some("λόγος ".chars().cycle().take(length * 6 / 11).collect::<String>().into_bytes())
            }
            _ => None,
        }
    }
}

/// Frames of one batch.
const BATCH: u64 = 256;

/// The request of a browser.
const OPENING: &[u8] = b"GET /chat HTTP/1.1\r\nHost: localhost:9001\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\nOrigin: http://localhost:9001\r\nSec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const EXPLANATION: &str = "Time per operation in ns, and in parentheses millions of them in a second; medians. Numbers are \
    bytes of payload. All take bytes from the same stream in memory and give theirs to one that drops them. raddle-core: \
    `Receiver`, `Sender`, `mask`, `utf8`, `RequestParser`. tungstenite: `WebSocket` (read; write and flush), `Utf8Bytes`, \
    `accept`. fastwebsockets: `FragmentCollector`, `Frame::write`, `unmask`, `Frame::is_utf8`; its opening handshake is \
    hyper's. sockudo-ws: `Protocol`, `encode_frame`, `apply_mask`, `validate_utf8`, `parse_request` to `build_response`. \
    tokio-websockets: `WebSocketStream` (next; feed and flush), `accept`. A dash: the library keeps it to itself.";
