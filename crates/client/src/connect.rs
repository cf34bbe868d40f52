//! From a URL to an open connection: the way there, the offer, the response, and where that leads elsewhere.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use raddle_core::handshake::{Agreement, ClientError, Offer, ResponseError, ResponseParser};
use raddle_socket::{Connection, Info, OnEnd, Opening, Role, Socket, Transport};

use crate::answer::Answer;
use crate::client::{AUTHORIZATION, Client, Route};
use crate::credentials::Credentials;
use crate::dial::dial;
use crate::error::{ConnectError, RedirectError, Stage};
use crate::exchange::Exchange;
use crate::redirect;
use crate::resolve::resolve;
use crate::sys;
use crate::until::Until;
use crate::url::Url;

/// A server that was reached.
struct Reached {
    transport: Box<dyn Transport>,
    peer: Option<SocketAddr>,
}

/// An opening handshake that has succeeded.
struct Opened {
    agreement: Agreement,
    /// What came behind the head of the response.
    received: Vec<u8>,
    /// It knows the headers of the response.
    parser: ResponseParser,
}

/// Whether the client says who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    Shown,
    /// A redirect has led to somebody else.
    Withheld,
}

impl Client {
    /// `on_end` is called when the connection that comes out has ended.
    pub(crate) fn connect_until(
        &self,
        url: &Url,
        until: &Until<'_>,
        on_end: Option<OnEnd>,
    ) -> Result<(Connection, ResponseParser), ConnectError> {
        self.check(url)?;
        let mut url = Cow::Borrowed(url);
        let mut identity = Identity::Shown;
        let mut followed = 0;
        loop {
            let reached = self.reach(&url, identity, until)?;
            match self.shake_hands(&url, identity, &*reached.transport, until) {
                Ok(opened) => return self.open(&url, reached, opened, on_end),
                Err(ConnectError::Refused(answer)) if self.redirects > 0 && self.follows(&answer) => {
                    if followed == self.redirects {
                        return Err(RedirectError::TooMany.into());
                    }
                    followed += 1;
                    let next = redirect::target(&url, &answer)?;
                    log::debug!("redirected to {next}");
                    if !next.is_same_origin(&url) {
                        identity = Identity::Withheld;
                    }
                    // Who this client is, its caller says, and no Location.
                    url = Cow::Owned(Url { credentials: url.credentials.clone(), ..next });
                    self.check_scheme(&url)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn open_over(
        &self,
        url: &Url,
        transport: Box<dyn Transport>,
        until: &Until<'_>,
    ) -> Result<Connection, ConnectError> {
        self.request(url, Identity::Shown, [0; 16])?;
        let opened = self.shake_hands(url, Identity::Shown, &*transport, until)?;
        self.open(url, Reached { transport, peer: None }, opened, None).map(|(connection, _)| connection)
    }

    /// Finds what the caller has to mend, before anything is looked up or sent.
    pub(crate) fn check(&self, url: &Url) -> Result<(), ConnectError> {
        self.check_scheme(url)?;
        if let Route::Proxy(proxy) = &self.route {
            proxy.check()?;
        }
        self.request(url, Identity::Shown, [0; 16]).map(drop)
    }

    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self))]
    fn check_scheme(&self, url: &Url) -> Result<(), ConnectError> {
        if !url.is_secure() {
            return Ok(());
        }
        #[cfg(feature = "tls")]
        return self.tls.check();
        #[cfg(not(feature = "tls"))]
        Err(ConnectError::TlsUnsupported)
    }

    fn follows(&self, answer: &Answer) -> bool {
        matches!(answer.status, 301 | 302 | 303 | 307 | 308) && !matches!(self.route, Route::Unix(_) | Route::Socket(_))
    }

    /// Connects a stream that leads to the server of `url`.
    fn reach(&self, url: &Url, identity: Identity, until: &Until<'_>) -> Result<Reached, ConnectError> {
        let (host, port, proxy) = match &self.route {
            Route::Direct => (&url.host, url.port, None),
            Route::Proxy(proxy) => (&proxy.host, proxy.port, Some(proxy)),
            Route::Unix(path) => {
                let stream = loop {
                    match sys::connect_unix(path, until.left(Stage::Connect)?) {
                        Ok(stream) => break stream,
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                        Err(error) => return Err(ConnectError::Connect(error)),
                    }
                };
                let socket = Socket::unix(stream).map_err(ConnectError::Io)?;
                return Ok(Reached { transport: self.secure(socket, url, identity, until)?, peer: None });
            }
            Route::Socket(given) => {
                let socket = given.lock().take().ok_or_else(|| ConnectError::Connect(sys::used()))?;
                let (socket, peer) = sys::given(socket).map_err(ConnectError::Connect)?;
                return Ok(Reached { transport: self.secure(socket, url, identity, until)?, peer });
            }
        };
        let stream = dial(&resolve(host, port, until)?, self.local, until)?;
        let peer = stream.peer_addr().ok();
        let socket = Socket::tcp(stream).map_err(ConnectError::Io)?;
        if let Some(proxy) = proxy {
            proxy.tunnel(url, &Exchange { transport: &socket, until, stage: Stage::Proxy })?;
        }
        Ok(Reached { transport: self.secure(socket, url, identity, until)?, peer })
    }

    /// Puts TLS on a socket that leads to the server of `url`, where its scheme asks for that.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, unused_variables))]
    fn secure(
        &self,
        socket: Socket,
        url: &Url,
        identity: Identity,
        until: &Until<'_>,
    ) -> Result<Box<dyn Transport>, ConnectError> {
        #[cfg(feature = "tls")]
        if url.is_secure() {
            return match identity {
                Identity::Shown => self.tls.shake_hands(socket, url, until),
                Identity::Withheld => self.tls.for_others().shake_hands(socket, url, until),
            };
        }
        Ok(Box::new(socket))
    }

    /// Sends the offer and reads the response.
    fn shake_hands(
        &self,
        url: &Url,
        identity: Identity,
        transport: &dyn Transport,
        until: &Until<'_>,
    ) -> Result<Opened, ConnectError> {
        let exchange = Exchange { transport, until, stage: Stage::Handshake };
        // 16 bytes, fresh for each offer (RFC 6455, section 4.1).
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| ConnectError::Io(error.into()))?;
        let (request, mut parser) = self.request(url, identity, key)?;
        exchange.write(&request)?;
        let mut received = Vec::new();
        match exchange.read_head(&mut received, |received| parser.advance(received))? {
            Ok((agreement, head_len)) => {
                if self.requires_subprotocol && agreement.subprotocol.is_none() {
                    return Err(ConnectError::NoSubprotocol);
                }
                received.drain(..head_len);
                Ok(Opened { agreement, received, parser })
            }
            Err(ClientError::Refused(refusal)) => {
                let mut answer = Answer::of(&refusal);
                // Nobody reads what a redirect says.
                if self.redirects == 0 || !self.follows(&answer) {
                    answer.read_body(received.split_off(refusal.head_len), &exchange)?;
                }
                Err(ConnectError::Refused(Box::new(answer)))
            }
            Err(error) => Err(ConnectError::Handshake(error)),
        }
    }

    /// The bytes of the request, and the parser of what answers it.
    fn request(&self, url: &Url, identity: Identity, key: [u8; 16]) -> Result<(Vec<u8>, ResponseParser), ConnectError> {
        // The name that was set is the first server's.
        let host = self.host.clone().filter(|_| identity == Identity::Shown).unwrap_or_else(|| url.authority());
        let subprotocols: Vec<&str> = self.subprotocols.iter().map(String::as_str).collect();
        if self.has_malformed_cookie {
            return Err(ResponseError::HeaderValue.into());
        }
        let is_said = self.headers.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION));
        let credentials = self.credentials.as_ref().or(url.credentials.as_ref().filter(|_| !is_said));
        let authorization =
            credentials.map(|it| Credentials::value(it).ok_or(ConnectError::Credentials)).transpose()?;
        let shows = |name: &str| {
            let is_identity =
                [AUTHORIZATION, "Cookie", "Proxy-Authorization"].iter().any(|it| it.eq_ignore_ascii_case(name));
            identity == Identity::Shown || !is_identity
        };
        let own = authorization.as_ref().map(|value| (AUTHORIZATION, value.as_bytes()));
        let set = self.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let headers: Vec<(&str, &[u8])> = set.chain(own).filter(|(name, _)| shows(name)).collect();
        let offer = Offer {
            host: &host,
            target: url.target(),
            key,
            subprotocols: &subprotocols,
            deflate: self.deflate,
            origin: self.origin.as_deref(),
            headers: &headers,
        };
        Ok((offer.encode()?, ResponseParser::new(&offer, self.head)))
    }

    fn open(
        &self,
        url: &Url,
        Reached { transport, peer }: Reached,
        Opened { agreement, received, parser }: Opened,
        on_end: Option<OnEnd>,
    ) -> Result<(Connection, ResponseParser), ConnectError> {
        let mut info = Info::default();
        info.peer = peer;
        info.target = url.target().into();
        info.subprotocol = agreement.subprotocol.map(Into::into);
        info.deflate = agreement.deflate;
        let opening =
            Opening { received: &received, info, on_end, ..Opening::new(Role::Client, Arc::clone(&self.options)) };
        let connection = Connection::open_boxed(transport, opening).map_err(ConnectError::Io)?;
        Ok((connection, parser))
    }
}
