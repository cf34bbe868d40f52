//! A connection in one piece, for one thread; and its parts, for several.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use raddle_core::{Close, Message, Role};

use crate::end::{End, SendError, SendStatus};
use crate::info::Info;
use crate::link::{Link, State};
use crate::options::Options;
use crate::reader::{Next, Reader};
use crate::stream::Stream;
use crate::transport::{Socket, Transport};
use crate::writer::{Traffic, Writer};

/// An open WebSocket connection.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use raddle_socket::{Connection, Message, Options, Role, Socket};
///
/// // Two ends that have the opening handshake behind them.
/// let (one, other) = UnixStream::pair()?;
/// let client = Connection::new(Socket::unix(one)?, Role::Client, b"", Options::default())?;
/// let mut server = Connection::new(Socket::unix(other)?, Role::Server, b"", Options::default())?;
///
/// client.send("Hello")?;
/// assert_eq!(server.next_message()?, Some(Message::Text("Hello")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    writer: Writer,
}

impl Connection {
    /// Takes a stream whose opening handshake is done. `received` is what was already read behind the handshake's head.
    ///
    /// The first connection of a process starts a thread, which all share. An error where that cannot be started, and one of kind
    /// [`Unsupported`](io::ErrorKind::Unsupported) in a process that was forked from one that has it.
    pub fn new(
        transport: impl Transport,
        role: Role,
        received: &[u8],
        options: impl Into<Arc<Options>>,
    ) -> io::Result<Self> {
        Self::open(transport, Opening { received, ..Opening::new(role, options) })
    }

    /// Takes a stream whose opening handshake is done, but for the last word of it perhaps, with all that is known of it.
    pub fn open(transport: impl Transport, opening: Opening<'_>) -> io::Result<Self> {
        Self::begin(Stream::new(transport), opening, |_| ())
    }

    /// As [`open`](Self::open), for a stream that may be of several kinds.
    pub fn open_boxed(transport: Box<dyn Transport>, opening: Opening<'_>) -> io::Result<Self> {
        Self::begin(Stream::Other(transport), opening, |_| ())
    }

    /// As [`open`](Self::open), with `announce` called before anything is written: whoever is told of the connection there
    /// knows it before its peer does.
    pub fn open_announced(
        transport: impl Transport,
        opening: Opening<'_>,
        announce: impl FnOnce(&Writer),
    ) -> io::Result<Self> {
        Self::begin(Stream::new(transport), opening, announce)
    }

    fn begin(transport: Stream, opening: Opening<'_>, announce: impl FnOnce(&Writer)) -> io::Result<Self> {
        let link = Link::new(transport, opening)?;
        let writer = Writer::new(Arc::clone(&link));
        announce(&writer);
        link.begin();
        Ok(Self { reader: Reader::new(link), writer })
    }

    /// Takes a TCP stream that something else has upgraded: an HTTP server, for example. `received` is what it has read
    /// behind the head of the request (or, for a client, of the response).
    pub fn from_upgraded(
        stream: TcpStream,
        role: Role,
        received: &[u8],
        options: impl Into<Arc<Options>>,
    ) -> io::Result<Self> {
        Self::new(Socket::tcp(stream)?, role, received, options)
    }

    /// Takes the connection apart, so that one thread can receive while others send.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// A writer of this connection, for another thread.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Sends a message, as [`Writer::send`].
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<SendStatus, SendError> {
        self.writer.send(message)
    }

    /// Waits for the next message, as [`Reader::next_message`].
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, End> {
        self.reader.next_message()
    }

    /// Waits for the next message for at most `timeout`, as [`Reader::next_message_within`].
    pub fn next_message_within(&mut self, timeout: Duration) -> Result<Next<'_>, End> {
        self.reader.next_message_within(timeout)
    }

    /// Carries out the closing handshake, as [`Reader::close`].
    pub fn close(self, close: Close<'_>) -> End {
        self.reader.close(close)
    }

    /// What is known of the connection.
    pub fn info(&self) -> &Info {
        self.writer.info()
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.writer.state()
    }
}

/// How a connection begins.
pub struct Opening<'a> {
    /// Which side this endpoint is.
    pub role: Role,
    /// What was already read behind the opening handshake's head.
    pub received: &'a [u8],
    /// What is to be written before any frame: the head that ends the opening handshake.
    pub greeting: Vec<u8>,
    /// The limits and time-outs; many connections may share them.
    pub options: Arc<Options>,
    /// What the handles can tell of the connection.
    pub info: Info,
    /// An event loop is to have the reader: nobody reads ahead before that comes, which answers what it finds in order.
    #[doc(hidden)]
    pub for_event_loop: bool,
    /// Called once when the connection has ended, on the thread that has found out, while handles may still be held.
    pub on_end: Option<OnEnd>,
    /// What whoever gets the connection takes with [`Writer::take_attachment`].
    pub attachment: Option<Attachment>,
}

/// What is called at the end of a connection, with how it has ended and what has passed on it. It must not wait. A panic in it is
/// logged, and goes no further. Where it ends another connection, that one's is called behind it, on the same thread.
pub type OnEnd = Box<dyn FnOnce(End, Traffic) + Send + Sync>;

/// A value of the application's that goes with a connection. Dropped with its reader, where nobody has taken it.
pub type Attachment = Box<dyn Any + Send + Sync>;

impl Opening<'_> {
    /// A connection of which nothing further is known.
    pub fn new(role: Role, options: impl Into<Arc<Options>>) -> Self {
        let options = options.into();
        Self {
            role,
            received: b"",
            greeting: Vec::new(),
            options,
            info: Info::default(),
            for_event_loop: false,
            on_end: None,
            attachment: None,
        }
    }
}

impl fmt::Debug for Opening<'_> {
    // Without payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("role", &self.role).field("info", &self.info).finish_non_exhaustive()
    }
}

impl From<(Reader, Writer)> for Connection {
    /// Puts the two halves of one connection together again.
    ///
    /// # Panics
    /// Where they are of two connections.
    fn from((reader, writer): (Reader, Writer)) -> Self {
        assert!(reader.is_of(&writer), "the halves are of two connections");
        Self { reader, writer }
    }
}
