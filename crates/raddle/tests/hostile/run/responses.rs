//! A client's opening handshake without I/O: the bytes of a response in, a verdict out.

use raddle::core::handshake::{ClientError, Offer, ResponseParser};

use super::Report;
use super::cuts::{self, Cuts};
use crate::case::{Case, Fault, Input, Verdict};

/// Runs a line whose input is a response.
pub(crate) fn run(case: &Case, report: &Report) {
    let Input::Response(input) = &case.input else { return };
    for cuts in cuts::all(input.len(), case.number.into()) {
        report.check(|| format!("{case}, cut at {cuts:?}"), || check(case, input, &cuts, input.len()));
    }
    // Glued to a frame: where they begin does not change.
    let glued = [&input[..], b"\x81\x04next"].concat();
    if !matches!(case.expect, Verdict::Unopened(Fault::Ended)) {
        report.check(|| format!("{case}, glued"), || check(case, &glued, &Cuts::whole(), input.len()));
    }
}

fn check(case: &Case, input: &[u8], cuts: &Cuts, head_len: usize) {
    match (parse(case, input, cuts), &case.expect) {
        (Ok((chosen, length)), Verdict::Connected { subprotocol }) => {
            assert_eq!((chosen.as_deref(), length), (*subprotocol, head_len));
        }
        (Err(fault), Verdict::Unopened(expected)) => assert_eq!(fault, *expected),
        (outcome, expected) => panic!("expected {expected:?}, got {outcome:?}"),
    }
}

/// Does what a client does with the bytes that it receives.
fn parse(case: &Case, input: &[u8], cuts: &Cuts) -> Result<(Option<String>, usize), Fault> {
    let offer = Offer {
        host: "server.example.com",
        target: "/chat",
        // The sample's, decoded.
        key: *b"the sample nonce",
        subprotocols: case.setup.subprotocols,
        deflate: case.setup.deflate,
        origin: None,
        headers: &[],
    };
    let mut parser = ResponseParser::new(&offer, case.setup.head);
    let mut received = 0;
    for segment in cuts.apply(input) {
        received += segment.len();
        match parser.advance(&input[..received]) {
            Ok(None) => assert!(received <= case.setup.head.head, "the client reads on beyond its limit"),
            Ok(Some((agreement, length))) => return Ok((agreement.subprotocol, length)),
            Err(error) => return Err(fault(&error)),
        }
    }
    Err(Fault::Ended)
}

/// What the table calls an error.
pub(super) fn fault(error: &ClientError) -> Fault {
    match error {
        ClientError::Malformed => Fault::Malformed,
        ClientError::HeadTooLarge => Fault::TooLarge,
        ClientError::TooManyInterim => Fault::TooManyInterim,
        ClientError::Refused(refusal) => Fault::Status(refusal.status),
        ClientError::NoUpgrade => Fault::NoUpgrade,
        ClientError::Accept => Fault::Accept,
        ClientError::Subprotocol => Fault::Subprotocol,
        ClientError::Extension => Fault::Extension,
        other => panic!("{other} has no name here"),
    }
}
