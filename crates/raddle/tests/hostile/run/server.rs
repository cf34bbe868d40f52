//! A server with either engine, over TCP: each line with connections of its own.

use std::net::SocketAddr;

use raddle::core::handshake::Request as Head;
use raddle::{Cause, End, Role};

use super::Report;
use super::cuts::{Cuts, Numbers};
use crate::case::{Case, Input, Saw, Setup, Then, Verdict};
use crate::head::{self, Answer};
use crate::host::{Host, Log, Note};
use crate::peer::{Ending, Peer};
use crate::wire::{self, close, text};

/// One server for each setup of the lines.
pub(crate) struct Hosts(Vec<(Setup, Host)>);

impl Hosts {
    pub(crate) fn of(cases: &[Case], start: impl Fn(&Setup) -> Host) -> Self {
        let mut hosts: Vec<(Setup, Host)> = Vec::new();
        for case in cases {
            if !hosts.iter().any(|(setup, _)| *setup == case.setup) {
                hosts.push((case.setup.clone(), start(&case.setup)));
            }
        }
        Self(hosts)
    }

    fn of_setup(&self, wanted: &Setup) -> &Host {
        &self.0.iter().find(|(setup, _)| setup == wanted).expect("a server for each setup").1
    }

    /// Stops all, each after a look at what it has left.
    pub(crate) fn finish(self, report: &Report) {
        for (setup, host) in self.0 {
            report.check(|| format!("the server of {setup:?}"), || host.finish());
        }
    }
}

/// Runs a line, cut in a few ways and glued to what may follow.
pub(crate) fn run(case: &Case, hosts: &Hosts, report: &Report) {
    let host = hosts.of_setup(&case.setup);
    let mut numbers = Numbers::new(case.number.into());
    match &case.input {
        Input::Head(input) => {
            // A head that comes byte by byte takes its time: every fourth case's do, and each does without I/O.
            let dripped = if case.number % 4 == 1 { DRIPPED_HEAD } else { DRIPPED };
            for cuts in cuts(input.len(), dripped, &mut numbers) {
                let what = || format!("{case}, cut at {cuts:?}");
                report.check(what, || run_head(case, input, &cuts, Next::Nothing, host));
            }
            if !matches!(case.expect, Verdict::Drop) && case.then == Then::Stay {
                let what = || format!("{case}, glued");
                report.check(what, || run_head(case, input, &Cuts::whole(), Next::Glued, host));
            }
        }
        Input::Frames { head, pieces } => {
            let input = wire::encode(pieces, Role::Server);
            for cuts in cuts(input.len(), DRIPPED, &mut numbers) {
                let start = |peer: &mut Peer| {
                    peer.shake_hands(head);
                    peer.send_cut(&input, &cuts);
                };
                let what = || format!("{case}, cut at {cuts:?}");
                report.check(what, || run_frames(case, start, Next::Nothing, host));
            }
            // Case 82: in one segment with the request.
            let glued = |peer: &mut Peer| {
                peer.send(&[head, &input[..]].concat());
                peer.take_opening(|response| assert_eq!(response.status, 101));
            };
            report.check(|| format!("{case}, glued to the request"), || run_frames(case, glued, Next::Nothing, host));
            if case.then == Then::Stay {
                let glued = |peer: &mut Peer| {
                    peer.shake_hands(head);
                    peer.send(&[&input[..], &text(case.setup.text_that_fits()).encode(Role::Server)].concat());
                };
                report.check(|| format!("{case}, glued"), || run_frames(case, glued, Next::Glued, host));
            }
        }
        Input::Call(_) | Input::Response(_) => {}
    }
}

/// What follows a line's input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// A text message, in the same segment.
    Glued,
}

pub(super) fn cuts(length: usize, dripped: usize, numbers: &mut Numbers) -> Vec<Cuts> {
    let mut cuts = vec![Cuts::whole()];
    for parts in [2, 4] {
        cuts.push(Cuts::random(length, parts, numbers));
    }
    if length <= dripped {
        cuts.push(Cuts::every_byte(length));
    }
    cuts.dedup();
    cuts
}

fn run_head(case: &Case, input: &[u8], cuts: &Cuts, next: Next, host: &Host) {
    let mut peer = Peer::connect(host.address);
    let address = peer.address();
    match &case.expect {
        Verdict::Open { accept, subprotocol, extensions, sees } => {
            let glued = if next == Next::Glued { text("next").encode(Role::Server) } else { Vec::new() };
            peer.send_cut(&[input, &glued].concat(), cuts);
            if case.then == Then::Finish {
                peer.finish();
            }
            peer.take_opening(|response| response.assert_opens(accept, *subprotocol, *extensions));
            let mut expected = Vec::new();
            if next == Next::Glued {
                expected.push(Saw::Text("next".into()));
                assert_eq!(peer.receive(1), expected);
            }
            let ended = if case.then == Then::Finish {
                assert_eq!(peer.receive_to_end(), (Vec::new(), Ending::Finished));
                Ended::Stream
            } else {
                peer.echo("after");
                expected.push(Saw::Text("after".into()));
                assert_eq!(peer.close(), []);
                Ended::Closed(Some((1000, String::new())))
            };
            let notes = host.log.take_ended(address);
            sees(asked(&notes));
            ended.check(&notes, &expected);
        }
        Verdict::Reject { status, headers } => {
            // Case 81: a request behind the refused one is never looked at.
            let glued = if next == Next::Glued { Vec::from(head::sample()) } else { Vec::new() };
            peer.send_cut(&[input, &glued].concat(), cuts);
            let (received, _) = peer.read_to_end();
            let answer = Answer::parse(received).expect("a whole answer");
            answer.assert_refuses_request(input, *status, headers);
            let notes = host.log.take(address);
            // What lacks an Upgrade to WebSocket, or the version of HTTP that has it, is the application's to answer. Here it
            // leaves that to the library.
            let is_plain = matches!(case.number, 15 | 44) && *status == 426;
            assert!(notes.iter().all(|note| matches!(note, Note::Plain)), "the application has seen {notes:?}");
            assert_eq!(notes.len(), usize::from(is_plain), "the application has seen {notes:?}");
        }
        Verdict::Drop => {
            peer.send_cut(input, cuts);
            if case.then == Then::Finish {
                peer.finish();
            }
            assert_eq!(peer.receive_to_end(), (Vec::new(), Ending::Finished));
            assert!(host.log.take(address).is_empty());
        }
        verdict => panic!("a head does not lead to {verdict:?}"),
    }
}

fn run_frames(case: &Case, start: impl FnOnce(&mut Peer), next: Next, host: &Host) {
    let mut peer = Peer::connect(host.address);
    let address = peer.address();
    start(&mut peer);
    see_to_the_end(case, peer, next, &host.log, address);
}

/// Receives what the library answers to a line's frames, and checks it, and what the application of `address` has seen.
pub(super) fn see_to_the_end(case: &Case, mut peer: Peer, next: Next, log: &Log, address: SocketAddr) {
    let (mut events, code) = match &case.expect {
        Verdict::Accept(events) => (events.clone(), None),
        Verdict::Fail { code, after } => (after.clone(), Some(*code)),
        verdict => panic!("frames do not lead to {verdict:?}"),
    };
    let mut ended = match (code, events.last()) {
        (Some(code), _) => Ended::Failed(code),
        (None, Some(Saw::Close(close))) => Ended::Closed(close.clone()),
        (None, _) if case.then == Then::Stay => Ended::Closed(Some((1000, String::new()))),
        (None, _) => Ended::Stream,
    };
    let closes = matches!(events.last(), Some(Saw::Close(_)));
    if next == Next::Glued && code.is_none() && !closes {
        events.push(Saw::Text(case.setup.text_that_fits().into()));
    }
    let mut sent = Vec::new();
    if code.is_none() && !closes {
        let mut awaited = events.iter().filter(|event| event.is_message()).count();
        while awaited > 0 {
            let received = peer.receive(1);
            awaited -= received.iter().filter(|event| event.is_message()).count();
            sent.extend(received);
        }
        match case.then {
            Then::Stay => peer.send_pieces([close(1000, "")]),
            Then::Finish => peer.finish(),
            Then::Reset => {
                peer.reset();
                ended = Ended::Reset;
                return ended.check(&log.take_ended(address), &events);
            }
        }
    }
    let (rest, ending) = peer.receive_to_end();
    sent.extend(rest);
    // The server ends the stream behind its Close. What it has not read by then resets the connection, as what fails one may: that
    // the peer gets the Close all the same is asserted for a peer that goes on sending (87 and 177).
    assert!(ending == Ending::Finished || next == Next::Glued || closes || code.is_some(), "{ending:?}");
    drop(peer);
    let notes = log.take_ended(address);
    ended.check(&notes, &events);
    ended.check_answers(sent, &events, notes.iter().filter(|note| matches!(note, Note::Unsent)).count());
}

/// How a connection has ended.
#[derive(Debug)]
enum Ended {
    /// By the peer's Close.
    Closed(Option<(u16, String)>),
    /// By a failure, with our code.
    Failed(u16),
    /// By the end of the stream.
    Stream,
    Reset,
}

impl Ended {
    /// Checks what the application has seen: one open, these messages, one end (rules 6 and 7).
    fn check(&self, notes: &[Note], events: &[Saw]) {
        let mut notes = notes.iter().filter(|note| !matches!(note, Note::Asked(_) | Note::Unsent));
        assert!(matches!(notes.next(), Some(Note::Open)), "no open event first");
        let mut messages = events.iter().filter(|event| event.is_message());
        let end = loop {
            match notes.next() {
                Some(Note::Message(message)) => assert_eq!(Some(message), messages.next()),
                Some(Note::End(end)) => break end.as_ref().expect("the reader has seen the end"),
                other => panic!("{other:?} before the end"),
            }
        };
        assert_eq!(messages.next(), None, "messages were not delivered");
        assert!(notes.next().is_none(), "the end is not the last event");
        self.check_end(end);
    }

    /// Case 179: the code received, the code sent and whether the end was clean are facts of their own.
    fn check_end(&self, end: &End) {
        let (received, sent) = (end.received.as_ref().map(|(code, _)| code.0), end.sent.map(|code| code.0));
        match self {
            Self::Closed(close) => {
                // 1005 stands for a Close without a code (RFC 6455, section 7.1.5).
                let code = close.as_ref().map_or(1005, |(code, _)| *code);
                assert_eq!((end.cause, received, sent), (Cause::PeerClose, Some(code), Some(code)), "{end}");
                let reason = end.received.as_ref().map(|(_, reason)| reason.as_str());
                assert_eq!(reason, Some(close.as_ref().map_or("", |(_, reason)| reason)));
                assert!(end.code().0 == code && end.is_clean());
            }
            Self::Failed(code) => {
                let Cause::Failed(error) = end.cause else { panic!("{end}") };
                assert_eq!((error.close_code().0, received, sent), (*code, None, Some(*code)), "{end}");
                assert!(end.code().0 == 1006 && !end.is_clean());
            }
            Self::Stream => {
                assert_eq!((end.cause, received, sent), (Cause::EndOfStream, None, None), "{end}");
                assert!(end.code().0 == 1006 && !end.is_clean());
            }
            Self::Reset => {
                assert!(matches!(end.cause, Cause::Io(_) | Cause::EndOfStream), "{end}");
                assert!(end.code().0 == 1006 && !end.is_clean());
            }
        }
    }

    /// Checks what the server has sent: the messages back, Pongs, and one Close that fits, the last of all.
    fn check_answers(&self, mut sent: Vec<Saw>, events: &[Saw], unsent: usize) {
        match self {
            Self::Closed(close) => {
                let echoed = close.as_ref().map(|(code, _)| (*code, String::new()));
                assert_eq!(sent.pop(), Some(Saw::Close(echoed)));
            }
            Self::Failed(code) => match sent.pop() {
                Some(Saw::Close(Some((sent, _)))) => assert_eq!(sent, *code),
                other => panic!("no Close with {code}, but {other:?}"),
            },
            Self::Stream | Self::Reset => {}
        }
        let (messages, pongs): (Vec<_>, Vec<_>) = sent.into_iter().partition(Saw::is_message);
        let mut expected: Vec<_> = events.iter().filter(|event| event.is_message()).cloned().collect();
        expected.truncate(expected.len() - unsent);
        assert_eq!(messages, expected);
        // The newest Ping is answered; older ones may go unanswered (RFC 6455, section 5.5.3).
        let mut asked = events.iter().filter_map(|event| match event {
            Saw::Ping(payload) => Some(Saw::Pong(payload.clone())),
            _ => None,
        });
        assert_eq!(pongs.last(), asked.clone().next_back().as_ref());
        for pong in &pongs {
            assert!(asked.any(|answer| answer == *pong), "{pong:?} answers no Ping");
        }
    }
}

/// The request as the application has seen it.
fn asked(notes: &[Note]) -> &Head {
    let asked = notes.iter().find_map(|note| if let Note::Asked(head) = note { Some(head) } else { None });
    asked.expect("the application was asked")
}

/// Up to these lengths an input is sent byte by byte.
pub(super) const DRIPPED: usize = 40;
const DRIPPED_HEAD: usize = 300;
