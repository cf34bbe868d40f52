//! A peer that sends what it likes: raw bytes over a TCP connection, with bounded waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use raddle::Role;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use crate::case::Saw;
use crate::head::{self, Answer};
use crate::relay::Relay;
use crate::run::cuts::Cuts;
use crate::wire::{self, Piece, Sent, close};

pub(crate) struct Peer {
    stream: TcpStream,
    /// Which side the library is.
    role: Role,
    /// What the library has sent and nobody has looked at yet.
    received: Vec<u8>,
    /// What takes TLS off for this peer, and ends behind its stream.
    _relay: Option<Relay>,
}

/// How the library has ended its direction of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished,
    Reset,
}

impl Peer {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).expect("the server listens"))
    }

    /// With a receive buffer that is soon full.
    pub(crate) fn connect_narrow(server: SocketAddr) -> Self {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a descriptor");
        // Before the connection exists: its window is agreed on with it.
        sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a socket");
        net::connect(&socket, &server).expect("the server listens");
        Self::over(socket.into())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time other than 0");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time other than 0");
        Self { stream, role: Role::Server, received: Vec::new(), _relay: None }
    }

    /// A peer that is the server of a client of the library's, once that has connected.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let time = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let connecting = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&time)).expect("a listener");
        assert_eq!(connecting, 1, "no client connects within {PATIENCE:?}");
        let (stream, _) = listener.accept().expect("a client connects");
        Self { role: Role::Client, ..Self::over(stream) }
    }

    /// With a relay of its own, which goes with it.
    pub(crate) fn behind(self, relay: Option<Relay>) -> Self {
        Self { _relay: relay, ..self }
    }

    /// Takes the head of the request off, and gives it.
    pub(crate) fn take_request(&mut self) -> String {
        let whole = |received: &[u8]| received.windows(4).position(|end| end == b"\r\n\r\n");
        self.read_until("a request", |received| whole(received).is_some());
        let end = whole(&self.received).expect("it is whole") + 4;
        String::from_utf8(self.received.drain(..end).collect()).expect("a request in ASCII")
    }

    /// With the opening handshake done.
    pub(crate) fn open(server: SocketAddr) -> Self {
        Self::connect(server).opened()
    }

    /// Does the opening handshake.
    pub(crate) fn opened(mut self) -> Self {
        self.shake_hands(&Vec::from(head::sample()));
        self
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// Sends the head of a request, and takes the response off, which has to open the connection.
    pub(crate) fn shake_hands(&mut self, head: &[u8]) {
        self.send(head);
        self.take_opening(|response| assert_eq!(response.status, 101, "{response:?}"));
    }

    /// Takes the response to the request off, which has to pass `check`.
    pub(crate) fn take_opening(&mut self, check: impl FnOnce(&Answer<'_>)) {
        self.read_until("a response", |received| Answer::parse(received).is_some());
        let response = Answer::parse(&self.received).expect("a whole response");
        check(&response);
        let length = self.received.len() - response.rest.len();
        self.received.drain(..length);
    }

    /// Sends bytes. A server that has closed the connection does not take them all.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(error) if is_reset(&error) => {}
            Err(error) => panic!("the server does not take {} bytes: {error}", bytes.len()),
        }
    }

    /// Sends bytes in segments.
    pub(crate) fn send_cut(&mut self, bytes: &[u8], cuts: &Cuts) {
        for (index, segment) in cuts.apply(bytes).into_iter().enumerate() {
            if index > 0 {
                // Long enough for the server to read what it has, most of the time.
                thread::sleep(BETWEEN_SEGMENTS);
            }
            self.send(segment);
        }
    }

    pub(crate) fn send_pieces(&mut self, pieces: impl IntoIterator<Item = Piece>) {
        self.send(&wire::encode(&pieces.into_iter().collect::<Vec<_>>(), self.role));
    }

    /// Reads what comes until `enough` says so, and gives all that was not taken yet.
    pub(crate) fn read_until(&mut self, what: &str, mut enough: impl FnMut(&[u8]) -> bool) -> &[u8] {
        while !enough(&self.received) {
            match self.read() {
                Ok(None) => {}
                Ok(Some(ending)) => {
                    panic!("{ending:?} instead of {what}, after {}", start(&self.received));
                }
                Err(error) => panic!("{error} instead of {what}, after {}", start(&self.received)),
            }
        }
        &self.received
    }

    /// Reads to the end of the stream, and gives all that was not taken yet.
    pub(crate) fn read_to_end(&mut self) -> (&[u8], Ending) {
        loop {
            match self.read() {
                Ok(None) => {}
                Ok(Some(ending)) => return (&self.received, ending),
                Err(error) => panic!("{error} instead of the end, after {}", start(&self.received)),
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Ending>> {
        let mut space = vec![0; 64 * 1024];
        match self.stream.read(&mut space) {
            Ok(0) => Ok(Some(Ending::Finished)),
            Ok(count) => {
                self.received.extend_from_slice(&space[..count]);
                Ok(None)
            }
            Err(error) if is_reset(&error) => Ok(Some(Ending::Reset)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads until so many messages and control frames are there, and takes them off.
    pub(crate) fn receive(&mut self, count: usize) -> Vec<Saw> {
        let role = self.role;
        let frames = |received: &[u8]| wire::decode_finals(received, role, count).expect("frames in order");
        self.read_until("frames", |received| frames(received).is_some());
        let (frames, rest) = frames(&self.received).expect("they are there");
        self.received.drain(..self.received.len() - rest);
        wire::messages(&frames).expect("messages in order")
    }

    /// Reads a whole frame, which may be compressed, and takes it off.
    pub(crate) fn receive_frame(&mut self) -> Sent {
        let frame = |received: &[u8]| wire::decode_compressed(received).expect("a frame in order");
        self.read_until("a frame", |received| frame(received).is_some());
        let (sent, rest) = frame(&self.received).expect("it is there");
        self.received.drain(..self.received.len() - rest);
        sent
    }

    /// Reads to the end of the stream: what the server has sent, in messages.
    pub(crate) fn receive_to_end(&mut self) -> (Vec<Saw>, Ending) {
        let role = self.role;
        let (received, ending) = self.read_to_end();
        let (frames, rest) = wire::decode(received, role).expect("frames in order");
        assert!(rest.is_empty(), "a torn frame: {}", start(rest));
        (wire::messages(&frames).expect("messages in order"), ending)
    }

    /// Reads to the end of the stream: the frames that the server has sent.
    pub(crate) fn frames_to_end(&mut self) -> Vec<Sent> {
        let role = self.role;
        let (received, _) = self.read_to_end();
        wire::decode(received, role).expect("frames in order").0
    }

    /// Sends a text, which has to come back.
    pub(crate) fn echo(&mut self, message: &str) {
        self.send_pieces([wire::text(message)]);
        assert_eq!(self.receive(1), [Saw::Text(message.to_owned())]);
    }

    /// Carries out the closing handshake, and gives what came before the server's Close.
    pub(crate) fn close(mut self) -> Vec<Saw> {
        self.send_pieces([close(1000, "")]);
        let (mut messages, ending) = self.receive_to_end();
        assert_eq!((messages.pop(), ending), (Some(Saw::Close(Some((1000, String::new())))), Ending::Finished));
        messages
    }

    /// Tells whether the server resets the connection in this time.
    pub(crate) fn is_reset_within(&self, time: Duration) -> bool {
        thread::sleep(time);
        self.stream.take_error().expect("a socket").is_some()
    }

    /// Ends this direction of the stream.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        // Without lingering, what closes the socket sends a reset.
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("a socket");
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)
}

fn start(bytes: &[u8]) -> String {
    format!("{} bytes: {}", bytes.len(), bytes[..bytes.len().min(200)].escape_ascii())
}

/// No wait of a peer's is longer. Whole seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_SEGMENTS: Duration = Duration::from_micros(500);
