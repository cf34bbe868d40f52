//! Heads of HTTP messages: requests to send, answers to check.

use raddle::core::handshake::accept_value;

/// The key of RFC 6455, section 1.3, and its answer.
pub(crate) const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const SAMPLE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The head of a request, of which a line of the table changes what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The request line, without its end.
    line: Vec<u8>,
    /// The name of each header line, and the whole line with its end.
    fields: Vec<(String, Vec<u8>)>,
    end: Vec<u8>,
}

/// The opening handshake of RFC 6455, section 1.2, without its options.
pub(crate) fn sample() -> Head {
    Head { line: b"GET /chat HTTP/1.1".to_vec(), fields: Vec::new(), end: b"\r\n".to_vec() }
        .add("Host", "server.example.com")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", SAMPLE_KEY)
        .add("Sec-WebSocket-Version", "13")
}

/// The response to it, from the same section, without a subprotocol.
pub(crate) fn response() -> Head {
    Head { line: b"HTTP/1.1 101 Switching Protocols".to_vec(), fields: Vec::new(), end: b"\r\n".to_vec() }
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Accept", SAMPLE_ACCEPT)
}

/// The response with the answer to this key of a client's in the place of the sample's.
pub(crate) fn answering(response: &[u8], key: &str) -> Vec<u8> {
    let (sample, accept) = (SAMPLE_ACCEPT.as_bytes(), accept_value(key.as_bytes()));
    let mut response = response.to_vec();
    for start in 0..response.len().saturating_sub(sample.len() - 1) {
        let place = &mut response[start..start + sample.len()];
        if place == sample {
            place.copy_from_slice(accept.as_bytes());
        }
    }
    response
}

impl Head {
    /// With this request line, or status line.
    pub(crate) fn line(self, line: impl AsRef<[u8]>) -> Self {
        Self { line: line.as_ref().to_vec(), ..self }
    }

    /// With this target in the request line.
    pub(crate) fn target(self, target: impl AsRef<[u8]>) -> Self {
        self.line([b"GET ", target.as_ref(), b" HTTP/1.1"].concat())
    }

    /// With one more header.
    pub(crate) fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), [name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat()));
        self
    }

    /// With one more header line, which brings its own end.
    pub(crate) fn add_line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.fields.push((String::new(), line.as_ref().to_vec()));
        self
    }

    /// With this value in the place of the header's.
    pub(crate) fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let place = self.fields.iter().position(|(field, _)| field == name);
        let mut head = self.without(name).add(name, value);
        if let Some((place, field)) = place.zip(head.fields.pop()) {
            head.fields.insert(place, field);
        }
        head
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        assert!(self.fields.iter().any(|(field, _)| field == name), "the head has no {name}");
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// With these header lines first.
    pub(crate) fn first_line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.fields.insert(0, (String::new(), line.as_ref().to_vec()));
        self
    }

    /// With these bytes in the place of the empty line.
    pub(crate) fn end(self, end: impl AsRef<[u8]>) -> Self {
        Self { end: end.as_ref().to_vec(), ..self }
    }

    /// Filled up with a header, to so many bytes.
    pub(crate) fn filled_to(self, length: usize) -> Self {
        let so_far = Vec::from(self.clone()).len() + b"X-Fill: \r\n".len();
        self.add("X-Fill", "x".repeat(length - so_far))
    }
}

impl From<Head> for Vec<u8> {
    fn from(head: Head) -> Self {
        let mut bytes = [&head.line[..], b"\r\n"].concat();
        head.fields.iter().for_each(|(_, line)| bytes.extend(line));
        bytes.extend(&head.end);
        bytes
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a [u8],
    /// What follows it.
    pub(crate) rest: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Reads the answer at the start of `bytes`. `None`: it is not complete.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let (head, rest) = bytes.split_at(end);
        let head = std::str::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().expect("a status line");
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let headers: Vec<_> = lines.map(|line| line.split_once(": ").expect("name and value")).collect();
        let length = headers.iter().find(|(name, _)| *name == "Content-Length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let (body, rest) = rest.split_at_checked(length)?;
        Some(Self { status: status.expect("a status"), headers, body, rest })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// Checks the response that opens a connection: the headers of RFC 6455, section 4.2.2, and no others.
    pub(crate) fn assert_opens(&self, accept: &str, subprotocol: Option<&str>, extensions: Option<&str>) {
        let mut expected = vec![("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)];
        expected.extend(subprotocol.map(|name| ("Sec-WebSocket-Protocol", name)));
        expected.extend(extensions.map(|value| ("Sec-WebSocket-Extensions", value)));
        assert_eq!((self.status, &self.headers), (101, &expected));
        assert!(self.body.is_empty());
    }

    /// Checks an answer that refuses: one, short, of fixed words and headers, the last on its connection.
    pub(crate) fn assert_refuses(&self, status: u16, headers: &[(&str, &str)]) {
        self.assert_head_refuses(status, headers);
        let body = std::str::from_utf8(self.body).expect("text");
        assert!(body.starts_with(&format!("{status} ")) && body.len() < 50, "{body:?}");
        assert_eq!(self.header("Content-Length"), Some(&*body.len().to_string()));
    }

    /// As [`assert_refuses`](Self::assert_refuses), for a request that may be a HEAD: its answer has no body.
    pub(crate) fn assert_refuses_request(&self, request: &[u8], status: u16, headers: &[(&str, &str)]) {
        if request.starts_with(b"HEAD ") {
            self.assert_head_refuses(status, headers);
            assert_eq!(self.header("Content-Length"), None);
        } else {
            self.assert_refuses(status, headers);
        }
    }

    fn assert_head_refuses(&self, status: u16, headers: &[(&str, &str)]) {
        assert_eq!(self.status, status, "{self:?}");
        let tokens = |value: &'a str| value.split(", ").collect::<Vec<_>>();
        let connection = self.header("Connection").expect("a Connection header");
        assert!(tokens(connection).contains(&"close"), "{self:?}");
        for (name, token) in headers {
            let value = self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
            assert!(tokens(value).contains(token), "{self:?}");
        }
        // Nothing of the request comes back, and nothing of the server is told.
        for (name, _) in &self.headers {
            let known = ["Connection", "Content-Length", "Content-Type"].contains(name);
            assert!(known || headers.iter().any(|(expected, _)| expected == name), "{name} in {self:?}");
        }
        assert!(self.rest.is_empty(), "behind the answer: {:?}", self.rest.escape_ascii().to_string());
    }
}
