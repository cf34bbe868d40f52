//! Frames as bytes, written and read independently of the library.

use raddle::Role;

use crate::case::Saw;

/// One piece of what a peer sends behind the opening handshake: a frame, well formed or not, or bare bytes.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// FIN, the reserved bits and the opcode. `None`: bare bytes.
    first: Option<u8>,
    payload: Vec<u8>,
    /// The length that the header announces, where that is not the payload's.
    announced: Option<u64>,
    form: Form,
    key: [u8; 4],
}

/// How a header writes the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Shortest,
    Bits16,
    Bits64,
}

/// A frame by its first byte, masked where it goes to a server.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Piece {
    Piece {
        first: Some(first),
        payload: payload.as_ref().to_vec(),
        announced: None,
        form: Form::Shortest,
        // From RFC 6455, section 5.7.
        key: *b"\x37\xfa\x21\x3d",
    }
}

/// Bytes as they are.
pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Piece {
    Piece { first: None, ..frame(0, bytes) }
}

/// The header of a frame whose payload never comes.
pub(crate) fn announce(first: u8, length: u64) -> Piece {
    frame(first, b"").announcing(length)
}

pub(crate) fn text(payload: impl AsRef<[u8]>) -> Piece {
    frame(0x81, payload)
}

pub(crate) fn binary(payload: impl AsRef<[u8]>) -> Piece {
    frame(0x82, payload)
}

pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Piece {
    frame(0x89, payload)
}

pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Piece {
    frame(0x8a, payload)
}

/// A Close with a code, and whatever bytes stand for its reason.
pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Piece {
    frame(0x88, [&code.to_be_bytes(), reason.as_ref()].concat())
}

impl Piece {
    /// With the length in 16 bits, whatever it is.
    pub(crate) fn in_16_bits(self) -> Self {
        Self { form: Form::Bits16, ..self }
    }

    /// With the length in 64 bits, whatever it is.
    pub(crate) fn in_64_bits(self) -> Self {
        Self { form: Form::Bits64, ..self }
    }

    /// With a header that announces another length than follows.
    pub(crate) fn announcing(self, length: u64) -> Self {
        Self { announced: Some(length), ..self }
    }

    pub(crate) fn key(self, key: [u8; 4]) -> Self {
        Self { key, ..self }
    }

    /// The bytes that carry the piece to an endpoint: masked for a server (RFC 6455, section 5.1).
    pub(crate) fn encode(&self, to: Role) -> Vec<u8> {
        let Some(first) = self.first else { return self.payload.clone() };
        let length = self.announced.unwrap_or(self.payload.len() as u64);
        let mask = if to == Role::Server { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match self.form {
            Form::Shortest if length < 126 => bytes.push(mask | length as u8),
            Form::Bits64 => {
                bytes.push(mask | 127);
                bytes.extend(length.to_be_bytes());
            }
            Form::Shortest if length > 0xffff => {
                bytes.push(mask | 127);
                bytes.extend(length.to_be_bytes());
            }
            Form::Shortest | Form::Bits16 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        if to == Role::Server {
            bytes.extend(self.key);
            bytes.extend(self.payload.iter().zip(self.key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// The bytes of several pieces.
pub(crate) fn encode(pieces: &[Piece], to: Role) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.encode(to)).collect()
}

/// A frame that the library has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// FIN, the reserved bits and the opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

/// Takes apart what an endpoint has sent, and holds it to RFC 6455, sections 5.1, 5.2 and 5.5: masked by a client only,
/// no reserved bit, the shortest length, control frames whole and small. Gives the bytes of a torn frame with it.
pub(crate) fn decode(mut bytes: &[u8], from: Role) -> Result<(Vec<Sent>, &[u8]), String> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = decode_one(bytes, from, 0)? {
        frames.push(frame);
        bytes = rest;
    }
    Ok((frames, bytes))
}

/// Takes the first frames apart up to the `count`th that has FIN, and gives the number of bytes behind them. `None`: there
/// are fewer.
pub(crate) fn decode_finals(mut bytes: &[u8], from: Role, count: usize) -> Result<Option<(Vec<Sent>, usize)>, String> {
    let (mut frames, mut finals) = (Vec::new(), 0);
    while finals < count {
        let Some((frame, rest)) = decode_one(bytes, from, 0)? else { return Ok(None) };
        finals += usize::from(frame.first & 0x80 != 0);
        frames.push(frame);
        bytes = rest;
    }
    Ok(Some((frames, bytes.len())))
}

/// Takes the first frame apart that a server sends where RSV1 was agreed on (RFC 7692), and gives the number of bytes
/// behind it. `None`: it is not complete.
pub(crate) fn decode_compressed(bytes: &[u8]) -> Result<Option<(Sent, usize)>, String> {
    let decoded = decode_one(bytes, Role::Server, 0x40)?;
    Ok(decoded.map(|(frame, rest)| (frame, rest.len())))
}

fn decode_one(bytes: &[u8], from: Role, agreed: u8) -> Result<Option<(Sent, &[u8])>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [high, low, rest @ ..]) => (u64::from(u16::from_be_bytes([*high, *low])), rest),
        (127, rest) if rest.len() >= 8 => {
            let (length, rest) = rest.split_first_chunk().expect("eight bytes are there");
            (u64::from_be_bytes(*length), rest)
        }
        (126 | 127, _) => return Ok(None),
        (short, rest) => (u64::from(short), rest),
    };
    let shortest = match length {
        0..=125 => length,
        126..=0xffff => 126,
        _ => 127,
    };
    let (masked, opcode) = (second & 0x80 != 0, first & 0x0f);
    if u64::from(second & 0x7f) != shortest {
        return Err(format!("a length of {length} in {second:#x}"));
    }
    if masked != (from == Role::Client) {
        return Err(format!("a {from:?}'s frame with the second byte {second:#x}"));
    }
    if first & 0x70 & !agreed != 0 || first & 0x70 != 0 && !matches!(opcode, 1..=2) || !matches!(opcode, 0..=2 | 8..=10)
    {
        return Err(format!("a first byte of {first:#x}"));
    }
    if opcode >= 8 && (first & 0x80 == 0 || length > 125) {
        return Err(format!("a control frame {first:#x} of {length} bytes"));
    }
    let (key, rest) = match rest.split_first_chunk() {
        _ if !masked => ([0; 4], rest),
        Some((key, rest)) => (*key, rest),
        None => return Ok(None),
    };
    let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Ok(Some((Sent { first: *first, payload }, rest)))
}

/// Puts the frames together that belong to one message (RFC 6455, section 5.4), and reads the control frames.
pub(crate) fn messages(frames: &[Sent]) -> Result<Vec<Saw>, String> {
    let mut seen = Vec::new();
    let mut open: Option<(u8, Vec<u8>)> = None;
    for Sent { first, payload } in frames {
        let payload = payload.clone();
        match (first & 0x0f, open.take()) {
            (0, Some((opcode, mut message))) => {
                message.extend(payload);
                open = Some((opcode, message));
            }
            (opcode @ 1..=2, None) => open = Some((opcode, payload)),
            (opcode @ 8..=10, message) => {
                open = message;
                seen.push(match opcode {
                    8 => Saw::Close(read_close(payload)?),
                    9 => Saw::Ping(payload),
                    _ => Saw::Pong(payload),
                });
                continue;
            }
            (opcode, message) => return Err(format!("opcode {opcode} while {message:?} is open")),
        }
        if first & 0x80 != 0
            && let Some((opcode, message)) = open.take()
        {
            seen.push(match opcode {
                1 => Saw::Text(String::from_utf8(message).map_err(|error| error.to_string())?),
                _ => Saw::Binary(message),
            });
        }
    }
    if let Some(message) = open { Err(format!("{message:?} has no end")) } else { Ok(seen) }
}

fn read_close(payload: Vec<u8>) -> Result<Option<(u16, String)>, String> {
    match payload.as_slice() {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let reason = String::from_utf8(reason.to_vec()).map_err(|error| error.to_string())?;
            Ok(Some((u16::from_be_bytes([*high, *low]), reason)))
        }
        [_] => Err("a Close of one byte".into()),
    }
}
