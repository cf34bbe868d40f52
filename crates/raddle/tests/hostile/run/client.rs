//! A client, over TCP or TLS: each line with a connection of its own, to a peer that is the server.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use raddle::{Client, ConnectError, Deflate, Reader, Role, Writer};

use super::Report;
use super::cuts::{Cuts, Numbers};
use super::responses;
use super::server::{self, DRIPPED, Next};
use crate::case::{Case, Fault, Input, Setup, Then, Verdict};
use crate::head;
use crate::host::{self, Log};
use crate::peer::{Ending, PATIENCE, Peer};
use crate::relay::{Certificate, Relay};
use crate::wire::{self, text};

/// What the frames are carried by.
#[derive(Clone, Copy)]
pub(crate) enum Over<'a> {
    Tcp,
    /// By a relay that has this certificate.
    Tls(&'a Certificate),
}

/// Runs a line, cut in a few ways and glued to what may follow.
pub(crate) fn run(case: &Case, over: Over<'_>, report: &Report) {
    let mut numbers = Numbers::new(case.number.into());
    match &case.input {
        Input::Response(response) => {
            for cuts in server::cuts(response.len(), DRIPPED_RESPONSE, &mut numbers) {
                report.check(|| format!("{case}, cut at {cuts:?}"), || run_response(case, over, response, &cuts));
            }
        }
        Input::Frames { pieces, .. } => {
            let input = wire::encode(pieces, Role::Client);
            for cuts in server::cuts(input.len(), DRIPPED, &mut numbers) {
                let what = || format!("{case}, cut at {cuts:?}");
                report.check(what, || run_frames(case, over, b"", &input, &cuts, Next::Nothing));
            }
            // Case 101: in one segment with the response.
            let glued = || run_frames(case, over, &input, b"", &Cuts::whole(), Next::Nothing);
            report.check(|| format!("{case}, glued to the response"), glued);
            if case.then == Then::Stay {
                let input = [&input[..], &text(case.setup.text_that_fits()).encode(Role::Client)].concat();
                let glued = || run_frames(case, over, b"", &input, &Cuts::whole(), Next::Glued);
                report.check(|| format!("{case}, glued"), glued);
            }
        }
        Input::Head(_) | Input::Call(_) => {}
    }
}

/// A client that connects, and what has become of it.
pub(crate) type Connecting = JoinHandle<Result<(Reader, Writer), ConnectError>>;

/// Has a client of this setup connect on a thread of its own. What comes out is the server's side, with the key of the request.
pub(crate) fn call(setup: &Setup, over: Over<'_>) -> (Peer, String, Connecting) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let limits = setup.limits;
    let mut client =
        Client::new().connect_timeout(PATIENCE).head_limits(setup.head).with_options(|options| options.limits = limits);
    for name in setup.subprotocols {
        client = client.subprotocol(*name);
    }
    if let Some(deflate) = setup.deflate {
        client = client.deflate(deflate);
    }
    let (url, relay) = match over {
        Over::Tcp => (format!("ws://{address}/chat"), None),
        Over::Tls(certificate) => {
            let relay = Relay::to_clients(address, certificate);
            client = client.tls(certificate.of_client.clone());
            (format!("wss://localhost:{}/chat", relay.address.port()), Some(relay))
        }
    };
    let calling = thread::spawn(move || client.connect(&url).map(raddle::Connection::split));
    let mut peer = Peer::accept(&listener).behind(relay);
    let key = key_of(&peer.take_request());
    (peer, key, calling)
}

/// The key of a request.
pub(crate) fn key_of(request: &str) -> String {
    let mut keys = request.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let key = keys.next().expect("a key").to_owned();
    assert_eq!(keys.next(), None);
    key
}

fn run_response(case: &Case, over: Over<'_>, response: &[u8], cuts: &Cuts) {
    let (mut peer, key, calling) = call(&case.setup, over);
    peer.send_cut(&head::answering(response, &key), cuts);
    if matches!(case.expect, Verdict::Unopened(Fault::Ended)) {
        peer.finish();
    }
    match &case.expect {
        Verdict::Connected { subprotocol } => {
            let (mut reader, writer) = host::join(calling).expect("a connection");
            assert_eq!(reader.info().subprotocol.as_deref(), *subprotocol);
            let echoing = thread::spawn(move || {
                host::echo(&mut reader, &writer, &Log::default());
            });
            peer.echo("after");
            assert_eq!(peer.close(), []);
            host::join(echoing);
        }
        Verdict::Unopened(expected) => {
            let error = host::join(calling).expect_err("no connection");
            let fault = match &error {
                ConnectError::Handshake(error) => responses::fault(error),
                ConnectError::Refused(answer) => Fault::Status(answer.status),
                ConnectError::EndOfStream => Fault::Ended,
                error => panic!("{error}"),
            };
            assert_eq!(fault, *expected);
            // No frame was sent, and the stream is closed; what was not read by then resets it.
            let (received, ending) = peer.read_to_end();
            assert!(received.is_empty() && matches!(ending, Ending::Finished | Ending::Reset), "{ending:?}");
        }
        verdict => panic!("a response does not lead to {verdict:?}"),
    }
}

/// Sends frames, some of them in one segment with the response, to a client that echoes.
fn run_frames(case: &Case, over: Over<'_>, with_response: &[u8], input: &[u8], cuts: &Cuts, next: Next) {
    let (mut peer, key, calling) = call(&case.setup, over);
    let mut response = head::response();
    if let Some(deflate) = case.setup.deflate {
        response = response.add("Sec-WebSocket-Extensions", agreement(deflate));
    }
    let response = head::answering(&Vec::from(response), &key);
    peer.send(&[&response[..], with_response].concat());
    let (mut reader, writer) = host::join(calling).expect("a connection");
    let address = reader.info().peer.expect("a TCP peer");
    let log = Arc::new(Log::default());
    let of_client = Arc::clone(&log);
    let echoing = thread::spawn(move || host::echo(&mut reader, &writer, &of_client));
    peer.send_cut(input, cuts);
    server::see_to_the_end(case, peer, next, &log, address);
    host::join(echoing);
}

/// What a server says that agrees to all that the client has offered.
fn agreement(deflate: Deflate) -> String {
    let mut agreement = String::from("permessage-deflate");
    for (is_asked, parameter) in [
        (deflate.server_no_context_takeover, "server_no_context_takeover"),
        (deflate.client_no_context_takeover, "client_no_context_takeover"),
    ] {
        if is_asked {
            agreement += &format!("; {parameter}");
        }
    }
    for (bits, parameter) in [
        (deflate.server_max_window_bits, "server_max_window_bits"),
        (deflate.client_max_window_bits, "client_max_window_bits"),
    ] {
        if bits < 15 {
            agreement += &format!("; {parameter}={bits}");
        }
    }
    agreement
}

/// Up to this length a response is sent byte by byte: each is without I/O.
const DRIPPED_RESPONSE: usize = 160;
