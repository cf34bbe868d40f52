//! A scripted peer: writes and reads frames as bytes, over any stream, and does nothing by itself.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use raddle_core::{Header, OpCode, Role, Rsv1, mask};

/// The other end of a connection under test.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    role: Role,
    /// What was read and not taken yet.
    pub(crate) received: Vec<u8>,
    /// The masking keys of the frames received so far.
    pub(crate) keys: Vec<[u8; 4]>,
}

/// A frame, without its mask.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: OpCode,
    pub(crate) payload: Vec<u8>,
}

/// What a peer needs of its stream.
pub(crate) trait Stream: Read + Write {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl Stream for UnixStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl<S: Stream> Peer<S> {
    /// The peer that is `role`, with the opening handshake behind it.
    pub(crate) fn new(stream: S, role: Role) -> Self {
        Self::with_received(stream, role, Vec::new())
    }

    /// A peer that has read `received` behind the opening handshake's head.
    pub(crate) fn with_received(stream: S, role: Role, received: Vec<u8>) -> Self {
        Self { stream, role, received, keys: Vec::new() }
    }

    pub(crate) fn send(&mut self, frame: Frame) {
        self.send_bytes(&self.encode(&frame));
    }

    /// Sends several frames in one write.
    pub(crate) fn send_all(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| self.encode(frame)).collect();
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes what its peer sends");
    }

    /// The bytes of a frame that this peer may send: masked where it is a client.
    pub(crate) fn encode(&self, frame: &Frame) -> Vec<u8> {
        let key = (self.role == Role::Client).then_some(KEY);
        let length = frame.payload.len() as u64;
        let mut bytes = Vec::new();
        Header { fin: frame.fin, rsv1: false, opcode: frame.opcode, mask: key, length }.encode(&mut bytes);
        mask::append(&mut bytes, &frame.payload, key.unwrap_or_default());
        bytes
    }

    /// Waits for the next frame, which has to come.
    pub(crate) fn frame(&mut self) -> Frame {
        match self.next_frame(PATIENCE) {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("the stream has ended where a frame was expected"),
            Err(error) => panic!("no frame has come: {error}"),
        }
    }

    /// The next frame, if one comes within `time`.
    pub(crate) fn frame_within(&mut self, time: Duration) -> Option<Frame> {
        match self.next_frame(time) {
            Ok(frame) => frame,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
            Err(error) => panic!("reading has failed: {error}"),
        }
    }

    /// Waits for the end of the stream: nothing, and no reset, may come before it.
    pub(crate) fn expect_end(&mut self) {
        match self.next_frame(PATIENCE) {
            Ok(None) => {}
            Ok(Some(frame)) => panic!("{frame:?} where the end of the stream was expected"),
            Err(error) => panic!("the stream has not ended in order: {error}"),
        }
    }

    /// The next frame; `None` is the end of the stream.
    pub(crate) fn next_frame(&mut self, time: Duration) -> io::Result<Option<Frame>> {
        let deadline = Instant::now() + time;
        loop {
            // Each frame moves those behind it: not much more is read than is wanted.
            let mut wanted = LITTLE;
            // As this role may receive it, so that a wrong mask bit shows.
            let header = Header::parse(&self.received, self.role, Rsv1::Reserved);
            if let Some((header, start)) = header.expect("the connection sends valid headers") {
                let end = start + usize::try_from(header.length).expect("a length in memory");
                if self.received.len() >= end {
                    let mut payload = self.received[start..end].to_vec();
                    if let Some(key) = header.mask {
                        mask::apply(&mut payload, key);
                        self.keys.push(key);
                    }
                    self.received.drain(..end);
                    return Ok(Some(Frame { fin: header.fin, opcode: header.opcode, payload }));
                }
                wanted = (end - self.received.len()).clamp(LITTLE, MUCH);
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            let mut bytes = vec![0; wanted];
            match self.stream.read(&mut bytes) {
                Ok(0) if self.received.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub(crate) fn text(text: &str) -> Frame {
    Frame { fin: true, opcode: OpCode::Text, payload: text.into() }
}

pub(crate) fn binary(bytes: &[u8]) -> Frame {
    Frame { fin: true, opcode: OpCode::Binary, payload: bytes.into() }
}

pub(crate) fn ping(payload: &[u8]) -> Frame {
    Frame { fin: true, opcode: OpCode::Ping, payload: payload.into() }
}

pub(crate) fn pong(payload: &[u8]) -> Frame {
    Frame { fin: true, opcode: OpCode::Pong, payload: payload.into() }
}

/// A Close with a code, and perhaps a reason.
pub(crate) fn close(code: u16, reason: &str) -> Frame {
    Frame { fin: true, opcode: OpCode::Close, payload: [&code.to_be_bytes(), reason.as_bytes()].concat() }
}

/// A Close without a code.
pub(crate) fn empty_close() -> Frame {
    Frame { fin: true, opcode: OpCode::Close, payload: Vec::new() }
}

/// A frame of a fragmented message that goes on.
pub(crate) fn fragment(opcode: OpCode, payload: &[u8]) -> Frame {
    Frame { fin: false, opcode, payload: payload.into() }
}

/// The last frame of a fragmented message.
pub(crate) fn last_fragment(payload: &[u8]) -> Frame {
    Frame { fin: true, opcode: OpCode::Continuation, payload: payload.into() }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.payload[..self.payload.len().min(40)];
        let fin = if self.fin { "" } else { " and more" };
        write!(f, "{:?}{fin} of {} bytes: \"{}\"", self.opcode, self.payload.len(), shown.escape_ascii())
    }
}

/// Bytes that are read at a time, at least and at most.
const LITTLE: usize = 16 * 1024;
const MUCH: usize = 256 * 1024;
/// The masking key of RFC 6455, section 5.7.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// Longer than anything that is waited for may take, on a slow machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
