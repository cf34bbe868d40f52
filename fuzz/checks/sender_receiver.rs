//! Any calls to a sender of either role, with writes of any size between them: what is written is what the other role
//! receives, in order, and never a failure.

use arbitrary::{Arbitrary, Unstructured};
use raddle_core::{
    Close, CloseCode, Error, Event, Limits, MaskingKeys, Message, Progress, Receiver, Role, SendError, Sender,
};

pub(crate) fn check(input: &[u8]) {
    let [settings, input @ ..] = input else { return };
    let role = if settings & 1 == 0 { Role::Server } else { Role::Client };
    run(role, Unstructured::new(input));
}

struct Keys(u32);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.0 = self.0.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        // The source fails now and then.
        (!self.0.is_multiple_of(16)).then(|| self.0.to_be_bytes())
    }
}

#[derive(Debug, Arbitrary)]
enum Call<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Zeros(u32),
    TextFragment(&'a str, bool),
    BinaryFragment(&'a [u8], bool),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Asked(&'a [u8]),
    Close(Option<(u16, &'a str)>),
    Closed,
    Fail,
    Write(u16),
    Take,
}

/// Opcodes and payloads: what the peer is to hear.
type Heard = Vec<(u8, Vec<u8>)>;

fn progress(is_last: bool) -> Progress {
    if is_last { Progress::Last } else { Progress::More }
}

fn fragment(
    sender: &mut Sender,
    message: Message<'_>,
    is_last: bool,
    open: &mut Vec<u8>,
    heard: &mut Heard,
) -> Result<(), SendError> {
    sender.send_fragment(message, progress(is_last))?;
    open.extend_from_slice(message.as_bytes());
    if is_last {
        let opcode = if matches!(message, Message::Text(_)) { 1 } else { 2 };
        heard.push((opcode, std::mem::take(open)));
    }
    Ok(())
}

fn run(role: Role, mut input: Unstructured<'_>) {
    let mut sender = match role {
        Role::Server => Sender::server(),
        Role::Client => Sender::client(Box::new(Keys(input.arbitrary().unwrap_or(1)))),
    };
    let (mut heard, mut open, mut asked) = (Heard::new(), Vec::new(), Vec::new());
    let (mut written, mut taken) = (Vec::new(), Vec::new());
    // An input that is used up would go on giving zeros.
    while !input.is_empty() {
        let Ok(call) = input.arbitrary::<Call<'_>>() else { break };
        let (before, was_closed) = (sender.queued(), sender.is_closed());
        let mut said = |done: Result<(), SendError>, opcode, payload: &[u8]| {
            if done.is_ok() {
                heard.push((opcode, payload.to_vec()));
            }
            done
        };
        let done = match call {
            Call::Text(text) => said(sender.send(Message::Text(text)), 1, text.as_bytes()),
            Call::Binary(bytes) => said(sender.send(Message::Binary(bytes)), 2, bytes),
            Call::Zeros(length) => {
                let bytes = vec![0; length as usize % 70_000];
                said(sender.send(Message::Binary(&bytes)), 2, &bytes)
            }
            Call::TextFragment(text, is_last) => {
                fragment(&mut sender, Message::Text(text), is_last, &mut open, &mut heard)
            }
            Call::BinaryFragment(bytes, is_last) => {
                fragment(&mut sender, Message::Binary(bytes), is_last, &mut open, &mut heard)
            }
            Call::Ping(payload) => said(sender.ping(payload), 9, payload),
            Call::Pong(payload) => said(sender.pong(payload), 10, payload),
            Call::Asked(payload) => {
                sender.react(&Event::Ping(payload));
                asked.push(payload.to_vec());
                Ok(())
            }
            Call::Close(close) => {
                let close = close.map(|(code, reason)| Close { code: CloseCode(code), reason });
                said(sender.close(close), 8, format!("{close:?}").as_bytes())
            }
            Call::Closed => {
                sender.react(&Event::Close(None));
                Ok(())
            }
            Call::Fail => {
                sender.fail(Error::InvalidUtf8);
                Ok(())
            }
            Call::Write(count) => {
                let output = sender.output();
                let count = usize::from(count).min(output.len());
                written.extend_from_slice(&output[..count]);
                sender.written(count);
                Ok(())
            }
            Call::Take => {
                sender.take_output(&mut taken);
                written.append(&mut taken);
                sender.taken_written();
                Ok(())
            }
        };
        assert!(!was_closed || sender.is_closed());
        if done.is_err() {
            // Nothing of it is there, but a Pong that had waited may be.
            assert!(sender.queued() <= before);
        }
    }
    loop {
        let count = sender.output().len();
        if count == 0 {
            break;
        }
        written.extend_from_slice(sender.output());
        sender.written(count);
    }

    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let mut receiver = Receiver::new(other, Limits::default());
    receiver.feed(&written);
    let mut expected = heard.into_iter().peekable();
    while receiver.advance().expect("a legal stream") {
        let (opcode, payload) = match receiver.event().expect("advance() has returned true") {
            Event::Text(text) => (1, text.as_bytes().to_vec()),
            Event::Binary(bytes) => (2, bytes.to_vec()),
            Event::Ping(payload) => (9, payload.to_vec()),
            Event::Pong(payload) => (10, payload.to_vec()),
            Event::Close(close) => (8, format!("{close:?}").into_bytes()),
            Event::Part(..) => unreachable!("whole messages are asked for"),
        };
        let event = (opcode, payload);
        if expected.next_if_eq(&event).is_some() {
            continue;
        }
        match event {
            (10, payload) => assert!(asked.contains(&payload)),
            (8, _) => assert!(sender.is_closed()),
            event => panic!("{event:?} was not sent"),
        }
    }
    assert_eq!(expected.next(), None);
}
