//! Any bytes as the head of a request and of a response: no panic, the same verdict at any cut, each byte looked at once,
//! and what is accepted keeps its promises.

use raddle_core::Deflate;
use raddle_core::handshake::{
    Accept, HandshakeError, HeadLimits, Hosts, Offer, Origins, Request, RequestParser, ResponseParser,
};

pub(crate) fn check(input: &[u8]) {
    let [settings, bytes @ ..] = input else { return };
    let limits = match settings & 3 {
        0 => HeadLimits { head: 64, line: 16, headers: 3 },
        1 => HeadLimits { head: 0, line: 0, headers: 0 },
        _ => HeadLimits::default(),
    };
    let size = usize::from(settings >> 2) + 1;
    let ends = || (0..bytes.len()).step_by(size).chain([bytes.len()]);

    let whole = parse(limits, bytes, [bytes.len()].into_iter());
    let cut = parse(limits, bytes, ends());
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
    if let Ok(Some(request)) = whole {
        assert!(
            request.head_len() <= bytes.len().min(limits.head) && bytes[..request.head_len()].ends_with(b"\r\n\r\n")
        );
        assert!(request.headers().count() <= limits.headers);
        assert!(request.target().starts_with('/') && request.target().bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!request.host().is_empty());
        for (name, value) in request.headers() {
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
            assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) && value.trim_ascii() == value);
        }
        let _ = request.check(&Origins::SameOrigin, &Hosts::Loopback);
        let _ = request.check(&Origins::List(vec!["https://*.example.com".into(), "a:1".into()]), &Hosts::Any);
        let _ = request.extensions();
        let subprotocol = request.subprotocols().next();
        let answer = request.accept(&Accept { subprotocol, deflate: Some(Deflate::default()), headers: &[] });
        assert_eq!(answer.is_ok(), request.is_websocket());
    }

    let offer =
        Offer { subprotocols: &["a"], deflate: Some(Deflate::default()), ..Offer::new("a", "/", *b"the sample nonce") };
    let answer = |ends: &mut dyn Iterator<Item = usize>| {
        let mut parser = ResponseParser::new(&offer, limits);
        let verdict = ends.map(|end| parser.advance(&bytes[..end])).find(|verdict| !matches!(verdict, Ok(None)));
        format!("{verdict:?}")
    };
    assert_eq!(answer(&mut [bytes.len()].into_iter()), answer(&mut ends()));
}

fn parse(
    limits: HeadLimits,
    bytes: &[u8],
    ends: impl Iterator<Item = usize>,
) -> Result<Option<Request>, HandshakeError> {
    let mut parser = RequestParser::new(limits);
    for end in ends {
        match parser.advance(&bytes[..end]) {
            Ok(None) => assert!(parser.examined() == end),
            verdict => {
                assert!(parser.examined() <= end.min(limits.head));
                return verdict;
            }
        }
    }
    Ok(None)
}
