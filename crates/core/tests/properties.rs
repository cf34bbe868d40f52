//! Properties of random input, of both halves in both roles. PROPTEST_CASES says how many cases are tried.

mod common;

use std::mem;

use common::{CLIENT, Keys, Owned, SERVER, Said, assemble, frame};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use raddle_core::{
    Close, CloseCode, Error, Event, Header, Limits, Message, Progress, Receiver, Role, Rsv1, SendError, Sender, mask,
};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn role() -> impl Strategy<Value = Role> {
    select(&[CLIENT, SERVER][..])
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes = || prop_oneof![1 => 0..300_u64, 2 => Just(1 << 20), 1 => Just(u64::MAX)];
    let fragments = prop_oneof![1 => 0..5_u32, 2 => Just(16_384), 1 => Just(u32::MAX)];
    (bytes(), bytes(), fragments).prop_map(|(message, frame, fragments)| Limits { message, frame, fragments })
}

/// A message cut into fragments anywhere, with control frames between them.
fn fragmented() -> impl Strategy<Value = Vec<u8>> {
    let text = any::<String>().prop_map(|text| (0x01, text.into_bytes()));
    let binary = vec(any::<u8>(), 0..300).prop_map(|bytes| (0x02, bytes));
    let payload = prop_oneof![
        8 => text,
        4 => binary,
        // What is no text, or is cut off.
        1 => vec(any::<u8>(), 0..8).prop_map(|bytes| (0x01, bytes)),
    ];
    let fragments = vec((any::<Index>(), proptest::option::weighted(0.2, select(&[0x89, 0x8a][..]))), 0..5);
    (payload, fragments, any::<[u8; 4]>()).prop_map(|((opcode, payload), fragments, key)| {
        let cuts: Vec<Index> = fragments.iter().map(|(cut, _)| *cut).collect();
        let pieces = pieces(&payload, &cuts);
        let mut bytes = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let fin = if index + 1 == pieces.len() { 0x80 } else { 0 };
            bytes.extend(frame(fin | if index == 0 { opcode } else { 0x00 }, piece, Some(key)));
            let between = fragments.get(index).and_then(|(_, control)| *control);
            bytes.extend(between.into_iter().flat_map(|control| frame(control, b"between", Some(key))));
        }
        bytes
    })
}

/// Messages and control frames, and now and then a frame or bytes that may be anything.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let control = (select(&[0x89, 0x8a][..]), vec(any::<u8>(), 0..=125), any::<[u8; 4]>());
    let close = (900..5100_u16, ".{0,40}", any::<[u8; 4]>());
    let any_frame = (any::<u8>(), vec(any::<u8>(), 0..200), any::<Option<[u8; 4]>>());
    let piece = prop_oneof![
        24 => fragmented(),
        8 => control.prop_map(|(first, payload, key)| frame(first, &payload, Some(key))),
        1 => close.prop_map(|(code, reason, key)| frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat(), Some(key))),
        1 => any_frame.prop_map(|(first, payload, key)| frame(first, &payload, key)),
        1 => vec(any::<u8>(), 0..40),
    ];
    let bytes = vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    // Some of them with a bit that is flipped.
    (bytes, proptest::option::weighted(0.3, (any::<Index>(), 0..8_u32))).prop_map(|(mut bytes, flip)| {
        if let Some((index, bit)) = flip.filter(|_| !bytes.is_empty()) {
            let index = index.index(bytes.len());
            bytes[index] ^= 1 << bit;
        }
        bytes
    })
}

/// The stream, which is made for a server, as `role` receives it: a client gets its frames unmasked, up to a broken one.
fn as_received(role: Role, stream: &[u8]) -> Vec<u8> {
    if role == SERVER {
        return stream.to_vec();
    }
    let (mut rest, mut bytes) = (stream, Vec::new());
    while let Ok(Some((header, length))) = Header::parse(rest, SERVER, Rsv1::Reserved) {
        let end = length + usize::try_from(header.length).unwrap_or(usize::MAX / 2).min(rest.len() - length);
        let mut payload = rest[length..end].to_vec();
        mask::apply(&mut payload, header.mask.expect("a client's frame"));
        bytes.extend(frame(rest[0], &payload, None));
        rest = &rest[end..];
    }
    bytes.extend(rest);
    bytes
}

/// The bytes in pieces, cut at some of their places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// How a receiver is driven, beside the cuts.
#[derive(Clone, Copy, Debug)]
enum Driver {
    Whole,
    Parts,
    /// Each piece goes to a fork of the receiver that had the last one.
    Forks,
}

/// Feeds the pieces and tells what was said; checks that memory holds to its bound.
fn drive(role: Role, limits: Limits, pieces: &[&[u8]], driver: Driver) -> Vec<Said> {
    let mut receiver = Receiver::new(role, limits);
    let (mut said, mut received) = (Vec::new(), 0);
    for piece in pieces {
        if let Driver::Forks = driver {
            receiver = receiver.fork();
        }
        receiver.feed(piece);
        received += piece.len();
        assert!(receiver.capacity() <= 2 * received + 64 * 1024);
        let failed = said.iter().any(Result::is_err);
        loop {
            let step = match driver {
                Driver::Whole | Driver::Forks => receiver.advance(),
                Driver::Parts => receiver.advance_part(),
            };
            assert!(!failed || step.is_err(), "an error is final");
            match step {
                Ok(true) => said.push(Ok(receiver.event().expect("advance() has returned true").into())),
                Ok(false) => break,
                Err(error) if failed => {
                    assert_eq!(said.last(), Some(&Err(error)));
                    break;
                }
                Err(error) => {
                    said.push(Err(error));
                    break;
                }
            }
        }
        assert_eq!(receiver.event(), None);
        // Nothing is left that could be said without more bytes.
        let is_over = failed || receiver.is_closed();
        assert!(!(is_over && (receiver.has_frame() || receiver.is_amid_message())));
        assert!(!receiver.has_frame());
    }
    said
}

/// Takes back what was lent, and lends again or not, as a driver of many connections does between any two calls.
fn exchange(receiver: &mut Receiver, lent: &mut bool, next: Option<usize>) {
    // Lets go of the event.
    receiver.space();
    let held = receiver.held();
    if mem::take(lent) {
        receiver.reclaim();
        assert_eq!(receiver.capacity(), held, "no more is kept than what is held");
    }
    if let Some(length) = next {
        // With what others have left there.
        drop(receiver.lend(vec![0xa5; length]));
        *lent = true;
    }
    assert_eq!((receiver.held(), receiver.event()), (held, None));
}

/// Feeds the pieces to a receiver whose memory is exchanged before each piece and behind each event.
fn drive_in_lent_memory(role: Role, limits: Limits, pieces: &[&[u8]], lengths: &[Option<usize>]) -> Vec<Said> {
    let mut receiver = Receiver::new(role, limits);
    let (mut said, mut lent) = (Vec::new(), false);
    let mut lengths = lengths.iter().copied().cycle();
    let mut next = || lengths.next().flatten();
    for piece in pieces {
        exchange(&mut receiver, &mut lent, next());
        receiver.feed(piece);
        loop {
            match receiver.advance() {
                Ok(true) => said.push(Ok(receiver.event().expect("advance() has returned true").into())),
                Ok(false) => break,
                Err(error) => {
                    if said.last() != Some(&Err(error)) {
                        said.push(Err(error));
                    }
                    break;
                }
            }
            exchange(&mut receiver, &mut lent, next());
        }
    }
    said
}

/// One call to a sender, or one turn of its driver.
#[derive(Clone, Debug)]
enum Action {
    Send(Owned),
    /// The fragments of a message, each with a Ping behind it or none.
    Fragments(Vec<(String, bool)>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The peer's Ping is answered.
    Asked(Vec<u8>),
    Close(Option<(u16, String)>),
    Fail,
    /// So many bytes are written of those that wait.
    Write(Index),
    /// All of them are taken to be written elsewhere, or have been.
    Take,
}

fn message() -> impl Strategy<Value = Owned> {
    let long = (0..70_000_usize).prop_map(|length| Owned::Binary(vec![0x5a; length]));
    let text = any::<String>().prop_map(Owned::Text);
    let binary = vec(any::<u8>(), 0..300).prop_map(Owned::Binary);
    prop_oneof![6 => text, 6 => binary, 1 => long]
}

fn action() -> impl Strategy<Value = Action> {
    let control = || vec(any::<u8>(), 0..=125);
    let close = proptest::option::of((select(&[1000, 1001, 1011, 3000, 4999][..]), ".{0,30}"));
    prop_oneof![
        8 => message().prop_map(Action::Send),
        4 => vec((any::<String>(), any::<bool>()), 1..5).prop_map(Action::Fragments),
        2 => control().prop_map(Action::Ping),
        2 => control().prop_map(Action::Pong),
        4 => control().prop_map(Action::Asked),
        1 => close.prop_map(Action::Close),
        1 => Just(Action::Fail),
        6 => any::<Index>().prop_map(Action::Write),
        2 => Just(Action::Take),
    ]
}

fn sender(role: Role) -> Sender {
    match role {
        Role::Client => Keys::client().0,
        Role::Server => Sender::server(),
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => SERVER,
        Role::Server => CLIENT,
    }
}

/// Carries out what is not the driver's. What the peer is to hear of it is added to `expected`.
fn act(sender: &mut Sender, action: &Action, expected: &mut Vec<Owned>) -> Result<(), SendError> {
    match action {
        Action::Send(message) => {
            sender.send(match message {
                Owned::Text(text) => Message::Text(text),
                Owned::Binary(bytes) => Message::Binary(bytes),
                _ => unreachable!("messages only"),
            })?;
            expected.push(message.clone());
        }
        Action::Fragments(fragments) => {
            let whole = fragments.iter().map(|(text, _)| text.as_str()).collect();
            for (index, (text, pinged)) in fragments.iter().enumerate() {
                let progress = if index + 1 == fragments.len() { Progress::Last } else { Progress::More };
                sender.send_fragment(Message::Text(text), progress)?;
                if *pinged && progress == Progress::More {
                    sender.ping(b"between")?;
                    expected.push(Owned::Ping(b"between".to_vec()));
                }
            }
            expected.push(Owned::Text(whole));
        }
        Action::Ping(payload) => {
            sender.ping(payload)?;
            expected.push(Owned::Ping(payload.clone()));
        }
        Action::Pong(payload) => {
            sender.pong(payload)?;
            expected.push(Owned::Pong(payload.clone()));
        }
        Action::Close(close) => {
            let code = |code: &u16| CloseCode(*code);
            sender.close(close.as_ref().map(|(number, reason)| Close { code: code(number), reason }))?;
            expected.push(Owned::Close(close.as_ref().map(|(number, reason)| (code(number), reason.clone()))));
        }
        Action::Asked(_) | Action::Fail | Action::Write(_) | Action::Take => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_receiver_says_the_same_however_the_bytes_are_cut(
        role in role(),
        limits in limits(),
        stream in stream(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        // Hostile input 371: of messages; `fuzz` has compressed ones, and heads are in handshake_properties.rs.
        let bytes = as_received(role, &stream);
        let expected = drive(role, limits, &[&bytes], Driver::Whole);
        prop_assert!(expected.len() <= bytes.len());
        let cut = pieces(&bytes, &cuts);
        let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
        for pieces in [&cut, &bytewise] {
            for driver in [Driver::Whole, Driver::Forks] {
                prop_assert_eq!(&drive(role, limits, pieces, driver), &expected, "{:?}", driver);
            }
            let parts = drive(role, limits, pieces, Driver::Parts);
            prop_assert!(parts.len() <= bytes.len());
            prop_assert_eq!(&assemble(parts), &expected);
        }
    }

    #[test]
    fn memory_that_is_lent_and_taken_back_changes_no_event(
        role in role(),
        limits in limits(),
        stream in stream(),
        cuts in vec(any::<Index>(), 0..8),
        lengths in vec(proptest::option::weighted(0.7, prop_oneof![0..300_usize, Just(70_000)]), 1..8),
    ) {
        // Hostile input 371: memory of others, lent and taken back.
        let bytes = as_received(role, &stream);
        let expected = drive(role, limits, &[&bytes[..]], Driver::Whole);
        let pieces = pieces(&bytes, &cuts);
        prop_assert_eq!(drive_in_lent_memory(role, limits, &pieces, &lengths), expected);
    }

    #[test]
    fn what_one_role_sends_the_other_receives(
        role in role(),
        actions in vec(action(), 0..20),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        // Hostile input 373.
        let (mut sender, mut expected) = (sender(role), Vec::new());
        for action in &actions {
            let was_closed = sender.is_closed();
            let is_call = !matches!(action, Action::Asked(_) | Action::Fail | Action::Write(_) | Action::Take);
            let done = act(&mut sender, action, &mut expected);
            prop_assert_eq!(done, if is_call && was_closed { Err(SendError::Closed) } else { Ok(()) });
        }
        let bytes = sender.output().to_vec();
        let said = drive(other(role), Limits::default(), &pieces(&bytes, &cuts), Driver::Whole);
        prop_assert_eq!(said, expected.into_iter().map(Ok).collect::<Vec<Said>>());
    }

    #[test]
    fn whatever_is_written_of_the_output_is_the_beginning_of_a_legal_stream(
        role in role(),
        actions in vec(action(), 0..40),
    ) {
        // Hostile input 372: with a transport that takes any part; tests/faults.rs of `socket` has those that fail.
        let (mut sender, mut expected) = (sender(role), Vec::new());
        let (mut written, mut taken) = (Vec::new(), Vec::new());
        let (mut asked, mut failed, mut is_away) = (Vec::new(), false, false);
        for action in &actions {
            let before = sender.is_closed();
            match action {
                Action::Asked(payload) => {
                    sender.react(&Event::Ping(payload));
                    asked.push(payload.clone());
                }
                Action::Fail => {
                    sender.fail(Error::InvalidUtf8);
                    failed |= !before;
                }
                Action::Write(_) if is_away => {}
                Action::Write(count) => {
                    let output = sender.output();
                    let count = count.index(output.len() + 1);
                    written.extend_from_slice(&output[..count]);
                    sender.written(count);
                }
                Action::Take => {
                    if is_away {
                        sender.taken_written();
                    } else {
                        sender.take_output(&mut taken);
                        written.append(&mut taken);
                    }
                    is_away = !is_away;
                }
                action => {
                    let _ = act(&mut sender, action, &mut expected);
                }
            }
            prop_assert!(!before || sender.is_closed());
        }
        let until_here = written.len();
        written.append(&mut common::written(&mut sender));
        prop_assert_eq!(sender.queued(), 0);

        // No failure, and in order: all that was sent, some of the answers, and the Close at the end.
        let said = drive(other(role), Limits::default(), &[&written[..until_here], &written[until_here..]], Driver::Whole);
        let (mut expected, mut asked) = (expected.into_iter().peekable(), asked.into_iter());
        for (index, event) in said.iter().enumerate() {
            let event = event.as_ref().expect("a legal stream");
            if expected.next_if_eq(event).is_some() {
                continue;
            }
            match event {
                Owned::Pong(payload) => prop_assert!(asked.any(|asked| asked == *payload)),
                Owned::Close(Some((CloseCode::INVALID_DATA, _))) => prop_assert!(failed && index + 1 == said.len()),
                event => prop_assert!(false, "{:?} was not sent", event),
            }
        }
        prop_assert_eq!(expected.next(), None);
    }
}
