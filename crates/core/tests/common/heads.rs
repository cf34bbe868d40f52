//! Heads of HTTP messages, fed whole, byte by byte and at every cut.

use raddle_core::handshake::{
    Agreement, ClientError, HandshakeError, HeadLimits, Offer, Request, RequestParser, ResponseParser,
};

/// The key of RFC 6455, section 1.3, and its answer.
pub(crate) const KEY: [u8; 16] = *b"the sample nonce";
pub(crate) const KEY_TEXT: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An opening handshake in order; each of `lines` replaces those of its name, or is added. A name and its colon alone take
/// the name out.
pub(crate) fn request(lines: &[&str]) -> Vec<u8> {
    let own = [
        "Host: example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    head("GET /chat HTTP/1.1", &own, lines)
}

/// A response in order, changed as [`request`] is.
pub(crate) fn response(lines: &[&str]) -> Vec<u8> {
    let own = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
    head("HTTP/1.1 101 Switching Protocols", &own, lines)
}

fn head(first: &str, own: &[&str], lines: &[&str]) -> Vec<u8> {
    let name = |line: &str| line.split(':').next().map(str::to_ascii_lowercase);
    let kept = own.iter().filter(|own| !lines.iter().any(|line| name(line) == name(own)));
    let lines = lines.iter().filter(|line| line.find(':') != Some(line.len() - 1));
    let mut head = format!("{first}\r\n");
    for line in kept.chain(lines) {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// What a request says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) head_len: usize,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) is_websocket: bool,
}

impl From<&Request> for Seen {
    fn from(request: &Request) -> Self {
        let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            head_len: request.head_len(),
            target: request.target().to_owned(),
            host: request.host().to_owned(),
            headers: headers.collect(),
            is_websocket: request.is_websocket(),
        }
    }
}

/// The ends of the pieces that `bytes` are fed in: whole, byte by byte, and at every cut; of a long head, at some of them.
fn feeds(length: usize) -> impl Iterator<Item = Vec<usize>> {
    let stride = if length < 1024 { 1 } else { length / 16 };
    let cuts = (0..length).filter(move |cut| *cut < 64 || length - cut < 64 || cut % stride == 0);
    [vec![length], (0..=length).collect()].into_iter().chain(cuts.map(move |cut| vec![cut, length]))
}

/// The verdict on a request, the same however it is cut. `None`: it is not complete.
#[track_caller]
pub(crate) fn parse_within(limits: HeadLimits, bytes: &[u8]) -> Result<Option<Request>, HandshakeError> {
    let mut first = None;
    for ends in feeds(bytes.len()) {
        let mut parser = RequestParser::new(limits);
        let mut verdict = Ok(None);
        for end in &ends {
            verdict = parser.advance(&bytes[..*end]);
            if !matches!(verdict, Ok(None)) {
                break;
            }
        }
        // Each byte once, however they come.
        assert!(parser.examined() <= bytes.len());
        let seen = verdict.as_ref().map(|request| request.as_ref().map(Seen::from)).map_err(|error| *error);
        match &first {
            None => first = Some((verdict, seen)),
            Some((_, expected)) => assert_eq!(&seen, expected, "{ends:?} of {}", bytes.escape_ascii()),
        }
    }
    first.expect("it is fed whole first").0
}

/// [`parse_within`] the default limits, of a head that is complete or refused.
#[track_caller]
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, HandshakeError> {
    parse_within(HeadLimits::default(), bytes).map(|request| request.expect("a complete head"))
}

/// An offer with the key of the RFC.
pub(crate) fn offer<'a>(subprotocols: &'a [&'a str]) -> Offer<'a> {
    Offer { subprotocols, ..Offer::new("example.com", "/chat", KEY) }
}

/// What a client makes of a response.
pub(crate) type Answer = Result<Option<(Agreement, usize)>, ClientError>;

/// A client's verdict on the response to `offer`, the same however it is cut.
#[track_caller]
pub(crate) fn answer_within(limits: HeadLimits, offer: &Offer<'_>, bytes: &[u8]) -> Answer {
    let mut first: Option<Answer> = None;
    for ends in feeds(bytes.len()) {
        let mut parser = ResponseParser::new(offer, limits);
        let mut verdict = Ok(None);
        for end in &ends {
            verdict = parser.advance(&bytes[..*end]);
            if !matches!(verdict, Ok(None)) {
                break;
            }
        }
        match &first {
            None => first = Some(verdict),
            Some(expected) => {
                assert_eq!(format!("{verdict:?}"), format!("{expected:?}"), "{ends:?} of {}", bytes.escape_ascii());
            }
        }
    }
    first.expect("it is fed whole first")
}

/// [`answer_within`] the default limits, of a response that is complete or refused.
#[track_caller]
pub(crate) fn answer(offer: &Offer<'_>, bytes: &[u8]) -> Result<(Agreement, usize), ClientError> {
    answer_within(HeadLimits::default(), offer, bytes).map(|answer| answer.expect("a complete head"))
}
