//! Opening handshakes without I/O: the bytes of a request in, the bytes of the answer out.

use raddle::core::handshake::{Accept, HandshakeError, Request, RequestParser};

use super::Report;
use super::cuts::{self, Cuts};
use crate::case::{Case, Input, Setup, Verdict};
use crate::head::Answer;

/// Runs a line whose input begins with the connection.
pub(crate) fn run(case: &Case, report: &Report) {
    let Input::Head(input) = &case.input else { return };
    let whole = parse(input, &Cuts::whole(), &case.setup);
    report.check(|| format!("{case}"), || check(&whole, input, case));
    for cuts in cuts::all(input.len(), case.number.into()) {
        let what = || format!("{case}, cut at {cuts:?}");
        report.check(what, || assert_eq!(error(&parse(input, &cuts, &case.setup)), error(&whole)));
    }
    if matches!(case.expect, Verdict::Drop) {
        return;
    }
    // Glued to a frame, or to the beginning of another request.
    for next in [&b"\x81\x84\x00\x00\x00\x00next"[..], b"GET / HTTP/1.1\r\n"] {
        let glued = [input, next].concat();
        for cuts in [Cuts::whole(), Cuts::every_byte(glued.len())] {
            report.check(|| format!("{case}, glued"), || check(&parse(&glued, &cuts, &case.setup), input, case));
        }
    }
}

type Parsed = Result<Option<Request>, HandshakeError>;

/// What tells two outcomes apart.
fn error(parsed: &Parsed) -> Result<Option<usize>, HandshakeError> {
    parsed.as_ref().map(|request| request.as_ref().map(Request::head_len)).map_err(|error| *error)
}

/// Does what a server does with the bytes that it receives.
fn parse(input: &[u8], cuts: &Cuts, setup: &Setup) -> Parsed {
    let mut parser = RequestParser::new(setup.head);
    let mut received = 0;
    for segment in cuts.apply(input) {
        received += segment.len();
        let request = parser.advance(&input[..received]);
        // Case 9: the work is linear in what was received.
        assert!(parser.examined() <= received, "{} of {received} bytes were examined", parser.examined());
        assert!(parser.examined() <= setup.head.head + 1, "the server reads on beyond its limit");
        if let Some(request) = request? {
            request.check(&setup.origins, &setup.hosts)?;
            return Ok(Some(request));
        }
    }
    Ok(None)
}

fn check(parsed: &Parsed, input: &[u8], case: &Case) {
    match (parsed, &case.expect) {
        (Ok(Some(request)), Verdict::Open { accept, subprotocol, extensions, sees }) => {
            assert_eq!(request.head_len(), input.len(), "where the frames begin");
            sees(request);
            let subprotocol_of_ours = request.choose_subprotocol(case.setup.subprotocols);
            let answer = Accept { subprotocol: subprotocol_of_ours, deflate: case.setup.deflate, headers: &[] };
            let (response, agreement) = request.accept(&answer).expect("an opening handshake");
            assert_eq!(agreement.subprotocol.as_deref(), *subprotocol);
            let response = Answer::parse(&response).expect("a whole response");
            response.assert_opens(accept, *subprotocol, *extensions);
            assert!(response.rest.is_empty());
        }
        (Ok(Some(request)), Verdict::Reject { status, headers }) => {
            // A request that is no opening handshake reaches the application, which cannot accept it.
            let error = request.accept(&Accept::default()).expect_err("a refused handshake");
            assert!(!request.is_websocket());
            let answer = error.response().encode();
            Answer::parse(&answer).expect("a whole answer").assert_refuses(*status, headers);
        }
        (Err(error), Verdict::Reject { status, headers }) => {
            assert_eq!(error.status(), *status, "{error}");
            let answer = error.response_to(input).encode();
            Answer::parse(&answer).expect("a whole answer").assert_refuses_request(input, *status, headers);
        }
        (Ok(None), Verdict::Drop) => {}
        (outcome, expected) => panic!("expected {expected:?}, got {:?}", error(outcome)),
    }
}
