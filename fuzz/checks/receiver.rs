//! Any bytes into a receiver of either role, cut as the input says: no panic, the same events at any cut, memory within
//! its bound, and silence after a failure.

use raddle_core::{Deflate, Error, Event, Limits, Message, Progress, Receiver, Role};

pub(crate) fn check(input: &[u8]) {
    let [settings, cut, bytes @ ..] = input else { return };
    let role = if settings & 1 == 0 { Role::Server } else { Role::Client };
    let limits = match settings >> 1 & 3 {
        0 => Limits::default(),
        1 => Limits { message: u64::MAX, frame: u64::MAX, fragments: u32::MAX },
        2 => Limits { message: 20, frame: 10, fragments: 3 },
        _ => Limits { message: 0, frame: 0, fragments: 1 },
    };
    let deflate = match settings >> 3 & 3 {
        0 => None,
        1 => Some(Deflate { client_no_context_takeover: true, server_no_context_takeover: true, ..Deflate::default() }),
        _ => Some(Deflate::default()),
    };
    let whole = receive(role, limits, deflate, [bytes].into_iter(), Driver::Whole);
    assert!(whole.events.len() <= bytes.len());
    let size = usize::from(*cut % 32) + 1;
    for driver in [Driver::Whole, Driver::Parts, Driver::Forks] {
        assert_eq!(receive(role, limits, deflate, bytes.chunks(size), driver), whole);
    }
}

/// What a receiver has said, with what belongs to one message put together.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    /// Opcodes and payloads.
    events: Vec<(u8, Vec<u8>)>,
    error: Option<Error>,
    /// A message of which parts have come, and no last one.
    open: Vec<u8>,
}

impl Heard {
    fn hear(&mut self, event: &Event<'_>) {
        assert_eq!(self.error, None, "nothing follows a failure");
        match event {
            Event::Text(text) => self.events.push((1, text.as_bytes().to_vec())),
            Event::Binary(bytes) => self.events.push((2, bytes.to_vec())),
            Event::Part(message, progress) => {
                self.open.extend_from_slice(message.as_bytes());
                if let Message::Text(text) = message {
                    assert!(std::str::from_utf8(text.as_bytes()).is_ok());
                }
                if *progress == Progress::Last {
                    let opcode = if matches!(message, Message::Text(_)) { 1 } else { 2 };
                    self.events.push((opcode, std::mem::take(&mut self.open)));
                }
            }
            Event::Ping(payload) => self.events.push((9, payload.to_vec())),
            Event::Pong(payload) => self.events.push((10, payload.to_vec())),
            Event::Close(close) => {
                self.events.push((8, close.map_or(Vec::new(), |close| format!("{close:?}").into_bytes())));
            }
        }
    }
}

/// How the bytes are received.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    Whole,
    Parts,
    /// By a fork of the receiver that had the last piece.
    Forks,
}

fn receive<'a>(
    role: Role,
    limits: Limits,
    deflate: Option<Deflate>,
    pieces: impl Iterator<Item = &'a [u8]>,
    driver: Driver,
) -> Heard {
    let mut receiver = Receiver::new(role, limits).with_deflate(deflate);
    let (mut heard, mut received) = (Heard::default(), 0);
    for piece in pieces {
        if driver == Driver::Forks {
            receiver = receiver.fork();
        }
        receiver.feed(piece);
        received += piece.len();
        // DEFLATE makes at most 1,032 bytes of one.
        let inflated = deflate.map_or(0, |_| 1032 * received);
        assert!(receiver.capacity() <= 2 * (received + inflated) + 64 * 1024);
        loop {
            let step = if driver == Driver::Parts { receiver.advance_part() } else { receiver.advance() };
            match step {
                Ok(true) => heard.hear(&receiver.event().expect("advance() has returned true")),
                Ok(false) => break assert_eq!(heard.error, None),
                Err(error) => break assert_eq!(*heard.error.get_or_insert(error), error),
            }
        }
        assert!(receiver.event().is_none() && !receiver.has_frame());
    }
    // What is left of a message is nobody's.
    heard.open.clear();
    heard
}
