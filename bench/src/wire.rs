//! What goes over the wire: opening handshakes and frames, made once and sent many times.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Whatever comes is sent back.
    Raw,
    WebSocket,
}

/// A masked binary message of `length` bytes.
pub fn request(length: usize) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = header(length, 0x80);
    frame.extend_from_slice(&KEY);
    frame.extend(payload(length).zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

impl Wire {
    /// What comes back for [`request`].
    pub fn reply(self, length: usize) -> Vec<u8> {
        match self {
            Self::Raw => request(length),
            Self::WebSocket => header(length, 0).into_iter().chain(payload(length)).collect(),
        }
    }

    /// Connects, and carries out the opening handshake where there is one.
    pub fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        self.begin(TcpStream::connect(address)?)
    }

    /// As [`connect`](Self::connect), for a client that never reads: in small segments, and with little room for them, so that
    /// the system soon has as much for it as it takes on either side.
    pub fn connect_narrowly(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.set_tcp_mss(536)?;
        socket.connect(&address.into())?;
        self.begin(socket.into())
    }

    fn begin(self, stream: TcpStream) -> io::Result<TcpStream> {
        stream.set_nodelay(true)?;
        if self == Self::WebSocket {
            shake_hands(&stream)?;
        }
        Ok(stream)
    }
}

/// The request of the opening handshake.
pub const OPENING: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Carries out the opening handshake.
pub fn shake_hands(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(OPENING)?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut byte = [0; 512];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&byte[..count]),
        }
    }
    if head.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(io::Error::other("the server has refused")) }
}

/// Bytes of the frame that `bytes` begin with, masked or not; `None`: it is not whole.
pub fn frame_length(bytes: &[u8]) -> Option<usize> {
    let [_, second, rest @ ..] = bytes else { return None };
    let (header, payload) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, _) => (10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
        (126, _) => return None,
        (length, _) => (2, usize::from(length)),
    };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    Some(header + key + payload).filter(|length| *length <= bytes.len())
}

/// Sends a message and waits for its echo.
pub fn round_trip(mut stream: impl Read + Write, request: &[u8], reply: &mut [u8]) -> io::Result<()> {
    stream.write_all(request)?;
    stream.flush()?;
    stream.read_exact(reply)
}

fn header(length: usize, mask: u8) -> Vec<u8> {
    match length {
        0..=125 => vec![0x82, mask | length as u8],
        126..=0xffff => [&[0x82, mask | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[0x82, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// What is in a message of `length` bytes.
pub fn payload(length: usize) -> impl Iterator<Item = u8> {
    (0..length).map(|index| (index % 251) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_frame_is_told_as_soon_as_it_is_whole_and_not_before() {
        for payload in [0, 1, 125, 126, 1024, 65535, 65536] {
            for frame in [request(payload), Wire::WebSocket.reply(payload)] {
                let followed = [&frame[..], b"\x89\x00"].concat();
                assert_eq!(frame_length(&followed), Some(frame.len()));
                for cut in (0..frame.len()).take(20).chain([frame.len() - 1]) {
                    assert_eq!(frame_length(&frame[..cut]), None, "{payload} bytes cut at {cut}");
                }
            }
        }
    }
}
