//! Calls of the application's that have to fail, and leave what they were made on usable.

use std::sync::Arc;

use raddle::core::handshake::{Accept, HeadLimits, RequestParser};
use raddle::core::{Close, CloseCode, Sender};
use raddle::{Acceptance, Request, Response, Writer};

use super::Report;
use crate::case::{Call, Case, Input, Verdict, saw_close};
use crate::head::{self, Answer};
use crate::host::{Engine, Host, Log, Note};
use crate::peer::Peer;
use crate::wire;

/// Runs a line without I/O.
pub(crate) fn run_core(case: &Case, report: &Report) {
    let Input::Call(call) = &case.input else { return };
    report.check(|| format!("{case}"), || assert_eq!(call_core(call).is_err(), fails(case)));
}

fn fails(case: &Case) -> bool {
    matches!(case.expect, Verdict::CallerError)
}

fn call_core(call: &Call) -> Result<(), String> {
    let head = Vec::from(head::sample());
    let request = RequestParser::new(HeadLimits::default()).advance(&head);
    let request = request.expect("a valid request").expect("a whole request");
    let accept = |accept: &Accept<'_>| {
        request.accept(accept).map(drop).map_err(|error| {
            Answer::parse(&error.response().encode()).expect("a whole answer").assert_refuses(500, &[]);
            error.to_string()
        })
    };
    match call {
        Call::Agree(name) => accept(&Accept { subprotocol: Some(name), ..Accept::default() }),
        Call::AcceptWith(name, value) => accept(&Accept { headers: &[(name, value)], ..Accept::default() }),
        Call::AnswerWith(..) | Call::Answer(_) => answer(call).map(drop),
        Call::Close(code, reason) => {
            let mut sender = Sender::server();
            let result = sender.close(Some(Close { code: CloseCode(*code), reason }));
            usable(sender, result.map_err(|error| error.to_string()))
        }
        Call::Ping(payload) => {
            let mut sender = Sender::server();
            let result = sender.ping(payload);
            usable(sender, result.map_err(|error| error.to_string()))
        }
    }
}

/// After an error nothing was sent, and a Close can still be.
fn usable(mut sender: Sender, result: Result<(), String>) -> Result<(), String> {
    if result.is_err() {
        assert!(!sender.is_closed());
        assert_eq!(sender.output(), b"");
        sender.close(Some(Close::code(CloseCode::NORMAL))).expect("the sender is usable");
        assert_eq!(sender.output(), b"\x88\x02\x03\xe8");
    }
    result
}

fn answer(call: &Call) -> Result<Response, String> {
    match call {
        Call::AnswerWith(name, value) => Response::new(404).and_then(|answer| answer.header(name, value)),
        Call::Answer(status) => Response::new(*status),
        _ => unreachable!("not an answer"),
    }
    .map_err(|error| error.to_string())
}

/// A server whose application makes the call of the line that the target names.
pub(crate) fn host(engine: Engine, cases: &[Case]) -> Host {
    let calls: Arc<Vec<Option<Call>>> = Arc::new(cases.iter().map(call_of).collect());
    let of_handler = Arc::clone(&calls);
    Host::echo_after(
        engine,
        |builder, log| {
            let log = Arc::clone(log);
            builder.on_request(move |request| decide(request, &calls, &log))
        },
        move |writer, log| {
            if let Some(call @ (Call::Close(..) | Call::Ping(_))) = named(&of_handler, &writer.info().target) {
                log.note(writer.info().peer, Note::Called(call_open(call, writer)));
            }
        },
    )
}

fn call_of(case: &Case) -> Option<Call> {
    if let Input::Call(call) = &case.input { Some(call.clone()) } else { None }
}

fn named<'a>(calls: &'a [Option<Call>], target: &str) -> Option<&'a Call> {
    calls.get(target.strip_prefix('/')?.parse::<usize>().ok()?)?.as_ref()
}

fn decide(request: Request, calls: &[Option<Call>], log: &Log) {
    let peer = request.peer();
    let acceptance = Acceptance::new();
    let result = match named(calls, request.target()).expect("the target names a line") {
        Call::Agree(name) => request.accept_with(acceptance.subprotocol(*name)),
        Call::AcceptWith(name, value) => request.accept_with(acceptance.header(*name, *value)),
        call @ (Call::AnswerWith(..) | Call::Answer(_)) => {
            let answer = answer(call);
            log.note(peer, Note::Called(answer.as_ref().map(drop).map_err(Clone::clone)));
            // The request is as it was: it can still be answered.
            let _ = request.respond(answer.unwrap_or_else(|_| Response::refusal(404)));
            return;
        }
        Call::Close(..) | Call::Ping(_) => {
            let _ = request.accept();
            return;
        }
    };
    log.note(peer, Note::Called(result.map_err(|error| error.to_string())));
}

fn call_open(call: &Call, writer: &Writer) -> Result<(), String> {
    match call {
        Call::Close(code, reason) => writer.close(Close { code: CloseCode(*code), reason }),
        Call::Ping(payload) => writer.ping(payload),
        _ => unreachable!("not a call on an open connection"),
    }
    .map_err(|error| error.to_string())
}

/// Runs the line of this index over TCP.
pub(crate) fn run_server(index: usize, case: &Case, host: &Host, report: &Report) {
    let Input::Call(call) = &case.input else { return };
    report.check(
        || format!("{case}"),
        || {
            let mut peer = Peer::connect(host.address);
            peer.send(&Vec::from(head::sample().target(format!("/{index}"))));
            match (call, fails(case)) {
                (Call::Close(..) | Call::Ping(_), failing) => {
                    peer.take_opening(|response| assert_eq!(response.status, 101));
                    if failing {
                        peer.echo("usable");
                        peer.send_pieces([wire::close(1000, "")]);
                        assert_eq!(peer.receive_to_end().0, [saw_close(1000, "")]);
                    }
                }
                (Call::Agree(_) | Call::AcceptWith(..), true) => assert_refused(&mut peer, 500),
                (Call::AnswerWith(..) | Call::Answer(_), true) => assert_refused(&mut peer, 404),
                (Call::AcceptWith(name, value) | Call::AnswerWith(name, value), false) => {
                    let line = [b"\r\n", name.as_bytes(), b": ", value, b"\r\n"].concat();
                    let is_there = |received: &[u8]| received.windows(line.len()).any(|bytes| bytes == line);
                    peer.read_until("the header", is_there);
                }
                (Call::Agree(_) | Call::Answer(_), false) => unreachable!("every such line fails"),
            }
            let called = host.log.wait_for(peer.address(), |note| match note {
                Note::Called(result) => Some(result.clone()),
                _ => None,
            });
            assert_eq!(called.is_err(), fails(case), "{called:?}");
        },
    );
}

fn assert_refused(peer: &mut Peer, status: u16) {
    let (received, _) = peer.read_to_end();
    Answer::parse(received).expect("a whole answer").assert_refuses(status, &[]);
}
