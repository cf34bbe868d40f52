//! Helpers of the tests: frames made by hand, and receivers fed with every vector whole, byte by byte and at every cut.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod heads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use raddle_core::{CloseCode, Error, Event, Limits, MaskingKeys, Message, Progress, Receiver, Role, Sender};

pub(crate) const CLIENT: Role = Role::Client;
pub(crate) const SERVER: Role = Role::Server;

/// A masking key that leaves no byte as it is.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a receiver has said: an event that owns its payload, or an error.
pub(crate) type Said = Result<Owned, Error>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Text(String),
    Binary(Vec<u8>),
    TextPart(String, Progress),
    BinaryPart(Vec<u8>, Progress),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(CloseCode, String)>),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.into()),
            Event::Binary(bytes) => Self::Binary(bytes.into()),
            Event::Part(Message::Text(text), progress) => Self::TextPart(text.into(), progress),
            Event::Part(Message::Binary(bytes), progress) => Self::BinaryPart(bytes.into(), progress),
            Event::Ping(payload) => Self::Ping(payload.into()),
            Event::Pong(payload) => Self::Pong(payload.into()),
            Event::Close(close) => Self::Close(close.map(|close| (close.code, close.reason.into()))),
        }
    }
}

/// A frame by the letter of section 5.2: `first` is its first byte, the payload is masked where there is a key.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = match payload.len() {
        length @ 0..=125 => vec![first, mask | length as u8],
        length @ 126..=0xffff => vec![first, mask | 126, (length >> 8) as u8, length as u8],
        length => [&[first, mask | 127], &(length as u64).to_be_bytes()[..]].concat(),
    };
    frame.extend(key.into_iter().flatten());
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ key.map_or(0, |key| key[index % 4])));
    frame
}

/// Frames as `receiver` receives them: masked for a server.
pub(crate) fn frames(receiver: Role, frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(*first, payload, key(receiver))).collect()
}

/// The header of a frame whose payload is `length` bytes long, as `receiver` receives it.
pub(crate) fn header(receiver: Role, first: u8, length: u64) -> Vec<u8> {
    let mask = if receiver == SERVER { 0x80 } else { 0 };
    let mut header = match length {
        0..=125 => vec![first, mask | length as u8],
        126..=0xffff => vec![first, mask | 126, (length >> 8) as u8, length as u8],
        _ => [&[first, mask | 127], &length.to_be_bytes()[..]].concat(),
    };
    header.extend(key(receiver).into_iter().flatten());
    header
}

/// The masking key of the frames that `receiver` receives.
pub(crate) fn key(receiver: Role) -> Option<[u8; 4]> {
    (receiver == SERVER).then_some(KEY)
}

/// Lets the receiver say what it has to say to the bytes that it has.
pub(crate) fn listen(receiver: &mut Receiver, said: &mut Vec<Said>) {
    loop {
        match receiver.advance() {
            Ok(true) => said.push(Ok(receiver.event().expect("advance() has returned true").into())),
            Ok(false) => break assert_eq!(receiver.event(), None),
            Err(error) => {
                // Final, and said once.
                if !said.contains(&Err(error)) {
                    said.push(Err(error));
                }
                break assert_eq!(receiver.event(), None);
            }
        }
    }
}

/// Feeds `receiver` with bytes, piece by piece, and tells what it says.
pub(crate) fn receive<'a>(mut receiver: Receiver, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut said = Vec::new();
    for piece in pieces {
        receiver.feed(piece);
        listen(&mut receiver, &mut said);
    }
    said
}

/// Checks what a receiver says to `bytes`: whole, byte by byte and at every cut.
#[track_caller]
pub(crate) fn check(role: Role, bytes: &[u8], expected: &[Result<Event<'_>, Error>]) {
    check_within(role, Limits::default(), bytes, expected);
}

/// Checks the frames in both roles.
#[track_caller]
pub(crate) fn check_frames(received: &[(u8, &[u8])], expected: &[Result<Event<'_>, Error>]) {
    for role in [CLIENT, SERVER] {
        check(role, &frames(role, received), expected);
    }
}

/// [`check`] with limits.
#[track_caller]
pub(crate) fn check_within(role: Role, limits: Limits, bytes: &[u8], expected: &[Result<Event<'_>, Error>]) {
    let expected: Vec<Said> = expected.iter().map(|said| said.map(Owned::from)).collect();
    let receiver = || Receiver::new(role, limits);
    assert_eq!(receive(receiver(), [bytes]), expected, "{role:?}, whole");
    assert_eq!(receive(receiver(), bytes.chunks(1)), expected, "{role:?}, byte by byte");
    for cut in cuts(bytes.len()) {
        let (one, other) = bytes.split_at(cut);
        assert_eq!(receive(receiver(), [one, other]), expected, "{role:?}, cut at {cut}");
    }
}

/// Every place to cut at; of a long vector, those near its ends and some between.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let stride = length / 256 + 1;
    (0..length).filter(move |cut| *cut < 32 || length - cut < 32 || cut % stride == 0)
}

/// Puts the parts of each message together. Of a message whose last part is missing, nothing is left.
pub(crate) fn assemble(said: Vec<Said>) -> Vec<Said> {
    let mut assembled = Vec::new();
    let mut message: Option<Owned> = None;
    for said in said {
        let progress = match (said, &mut message) {
            (Ok(Owned::TextPart(text, progress)), None) => {
                message = Some(Owned::Text(text));
                progress
            }
            (Ok(Owned::BinaryPart(bytes, progress)), None) => {
                message = Some(Owned::Binary(bytes));
                progress
            }
            (Ok(Owned::TextPart(text, progress)), Some(Owned::Text(message))) => {
                message.push_str(&text);
                progress
            }
            (Ok(Owned::BinaryPart(bytes, progress)), Some(Owned::Binary(message))) => {
                message.extend(bytes);
                progress
            }
            (said @ (Ok(Owned::Ping(_) | Owned::Pong(_) | Owned::Close(_)) | Err(_)), _) => {
                assembled.push(said);
                continue;
            }
            (said, message) => panic!("{said:?} amid {message:?}"),
        };
        if progress == Progress::Last {
            assembled.extend(message.take().map(Ok));
        }
    }
    assembled
}

/// Masking keys `[1, 1, 1, 1]`, `[2, 2, 2, 2]` and so on, from a source that a test can let fail.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    given: Arc<AtomicU8>,
    failing: Arc<AtomicBool>,
}

impl Keys {
    /// A client's sender, and the handle on its keys.
    pub(crate) fn client() -> (Sender, Self) {
        let keys = Self::default();
        (Sender::client(Box::new(keys.clone())), keys)
    }

    /// Lets the source fail, or makes it whole again.
    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }
}

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        if self.failing.load(Ordering::Relaxed) {
            return None;
        }
        Some([self.given.fetch_add(1, Ordering::Relaxed).wrapping_add(1); 4])
    }
}

/// Takes the whole output, as a driver that writes it all at once.
pub(crate) fn written(sender: &mut Sender) -> Vec<u8> {
    let mut written = Vec::new();
    while !sender.output().is_empty() {
        written.extend_from_slice(sender.output());
        let count = sender.output().len();
        sender.written(count);
    }
    written
}
