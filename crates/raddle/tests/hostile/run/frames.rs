//! Frames without I/O, for both roles: received bytes in, events and answers out.

use raddle::Role;
use raddle::core::{Error, Event, MaskingKeys, Message, Progress, Receiver, Sender};

use super::Report;
use super::cuts::{self, Cuts};
use crate::case::{Case, Input, Saw, Setup, Then, Verdict};
use crate::wire::{self, text};

/// Runs a line whose input follows the opening handshake, for an endpoint that is `role`.
pub(crate) fn run(case: &Case, role: Role, report: &Report) {
    let Input::Frames { pieces, .. } = &case.input else { return };
    let input = wire::encode(pieces, role);
    for (index, cuts) in cuts::all(input.len(), case.number.into()).iter().enumerate() {
        for (turn, delivery) in Delivery::ALL.into_iter().enumerate() {
            // Longer inputs take their time: each cut has its delivery.
            if input.len() > EVERY_DELIVERY && index % Delivery::ALL.len() != turn {
                continue;
            }
            let what = || format!("{case}, {role:?}, {delivery:?}, cut at {cuts:?}");
            report.check(what, || check(&receive(role, &case.setup, delivery, &input, cuts), case, role));
        }
    }
    if case.then != Then::Stay {
        return;
    }
    let next = case.setup.text_that_fits();
    let glued = [input, text(next).encode(role)].concat();
    let mut case = case.clone();
    if let Verdict::Accept(events) = &mut case.expect
        && !ends(events)
    {
        events.push(Saw::Text(next.into()));
    }
    for cuts in [Cuts::whole(), Cuts::every_byte(glued.len().min(CUT_GLUED))] {
        let what = || format!("{case}, {role:?}, glued");
        report.check(what, || check(&receive(role, &case.setup, Delivery::Whole, &glued, &cuts), &case, role));
    }
}

/// How a driver takes what is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// Message by message.
    Whole,
    /// In parts, as they arrive.
    Parts,
    /// Message by message, by another receiver after each segment.
    Forked,
}

impl Delivery {
    const ALL: [Self; 3] = [Self::Whole, Self::Parts, Self::Forked];
}

/// What an endpoint has made of its input.
struct Received {
    events: Vec<Saw>,
    failed: Option<Error>,
    /// What it has sent.
    output: Vec<u8>,
}

fn receive(role: Role, setup: &Setup, delivery: Delivery, input: &[u8], cuts: &Cuts) -> Received {
    let mut receiver = Receiver::new(role, setup.limits).with_deflate(setup.deflate);
    let mut sender = match role {
        Role::Server => Sender::server(),
        Role::Client => Sender::client(Box::new(Keys(0))),
    };
    let mut received = Received { events: Vec::new(), failed: None, output: Vec::new() };
    let mut part = Vec::new();
    let mut so_far = 0;
    for segment in cuts.apply(input) {
        receiver.feed(segment);
        so_far += segment.len();
        // Rule 2: memory grows with what was received, not with what was announced.
        let capacity = receiver.capacity();
        let inflated = setup.deflate.map_or(0, |_| 2 * setup.limits.message.min(1100 * so_far as u64) as usize);
        assert!(capacity <= 2 * so_far + inflated + 64 * 1024, "{capacity} bytes of memory for {so_far} received");
        loop {
            let advanced = match delivery {
                Delivery::Parts => receiver.advance_part(),
                _ => receiver.advance(),
            };
            match advanced {
                Ok(true) => {
                    let event = receiver.event().expect("advance() has returned true");
                    received.events.extend(saw(event, &mut part));
                    sender.react(&event);
                }
                Ok(false) => break,
                Err(error) => {
                    assert!(received.failed.is_none_or(|first| first == error), "the failure has changed");
                    received.failed = Some(error);
                    sender.fail(error);
                    break;
                }
            }
        }
        assert_eq!(receiver.event(), None, "an event is left");
        received.output.extend(sender.output());
        sender.written(sender.queued());
        if delivery == Delivery::Forked {
            receiver = receiver.fork();
        }
    }
    received
}

fn check(received: &Received, case: &Case, role: Role) {
    let (events, code) = match &case.expect {
        Verdict::Accept(events) => (events, None),
        Verdict::Fail { code, after } => (after, Some(*code)),
        verdict => panic!("frames do not lead to {verdict:?}"),
    };
    assert_eq!(&received.events, events);
    assert_eq!(received.failed.map(|error| error.close_code().0), code, "{:?}", received.failed);
    // A Pong for each Ping, a Close for a Close or a failure, and nothing else.
    let (frames, rest) = wire::decode(&received.output, role).expect("frames in order");
    assert!(rest.is_empty());
    let mut sent = wire::messages(&frames).expect("messages in order");
    if let Some(code) = code {
        match sent.pop() {
            Some(Saw::Close(Some((sent, _)))) => assert_eq!(sent, code),
            other => panic!("no Close with {code}, but {other:?}"),
        }
    }
    assert_eq!(sent, answers(events));
}

/// What an endpoint answers by itself (RFC 6455, sections 5.5.1 and 5.5.2).
fn answers(events: &[Saw]) -> Vec<Saw> {
    let answer = |event: &Saw| match event {
        Saw::Ping(payload) => Some(Saw::Pong(payload.clone())),
        Saw::Close(close) => Some(Saw::Close(close.as_ref().map(|(code, _)| (*code, String::new())))),
        _ => None,
    };
    events.iter().filter_map(answer).collect()
}

fn ends(events: &[Saw]) -> bool {
    matches!(events.last(), Some(Saw::Close(_)))
}

/// What an event says; `part` gathers a message that comes in parts.
fn saw(event: Event<'_>, part: &mut Vec<u8>) -> Option<Saw> {
    Some(match event {
        Event::Text(text) => Saw::Text(text.to_owned()),
        Event::Binary(bytes) => Saw::Binary(bytes.to_vec()),
        Event::Part(message, progress) => {
            part.extend(message.as_bytes());
            if progress == Progress::More {
                return None;
            }
            let whole = std::mem::take(part);
            match message {
                Message::Text(_) => Saw::Text(String::from_utf8(whole).expect("text in parts is text")),
                Message::Binary(_) => Saw::Binary(whole),
            }
        }
        Event::Ping(payload) => Saw::Ping(payload.to_vec()),
        Event::Pong(payload) => Saw::Pong(payload.to_vec()),
        Event::Close(close) => Saw::Close(close.map(|close| (close.code.0, close.reason.to_owned()))),
    })
}

/// Keys that differ from frame to frame.
struct Keys(u32);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(self.0.to_be_bytes())
    }
}

/// Up to here, each cut has all deliveries.
const EVERY_DELIVERY: usize = 64;
/// Longer inputs are cut at their beginning only.
const CUT_GLUED: usize = 4096;
