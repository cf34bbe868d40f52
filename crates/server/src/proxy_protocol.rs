//! The PROXY protocol, versions 1 and 2, in which a proxy says before the first byte of HTTP who the client is: bytes in,
//! an address out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whom a header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Client(SocketAddr),
    /// The proxy itself, which checks the server's health; or a client of which it knows no address.
    Proxy,
}

/// The header is none, or breaks the rules, or is too long: nothing else it says can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Parses the header at the start of `bytes`, and gives its length in bytes with it. `None`: more bytes are needed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    if bytes.starts_with(SIGNATURE) {
        parse_v2(bytes)
    } else if bytes.starts_with(V1) {
        parse_v1(bytes)
    } else if SIGNATURE.starts_with(bytes) || V1.starts_with(bytes) {
        Ok(None)
    } else {
        Err(Malformed)
    }
}

/// Tells whether somebody begins as a proxy does, and as no client that speaks HTTP. Who sends more than one empty line
/// before the request is seen to break HTTP before the whole signature can be there.
pub(crate) fn is_begun(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\r\n\r") || bytes.starts_with(V1)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 51234 443` and CR LF.
fn parse_v1(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let Some(end) = bytes.windows(2).take(V1_MAX - 1).position(|end| end == b"\r\n") else {
        return if bytes.len() < V1_MAX { Ok(None) } else { Err(Malformed) };
    };
    let line = std::str::from_utf8(&bytes[V1.len()..end]).map_err(|_| Malformed)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let source = match parts[..] {
        ["UNKNOWN", ..] => Source::Proxy,
        [family @ ("TCP4" | "TCP6"), source, destination, port, destination_port] => {
            let address = |text: &str| match family {
                "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Malformed),
                _ => text.parse().map(IpAddr::V6).map_err(|_| Malformed),
            };
            address(destination)?;
            parse_port(destination_port)?;
            Source::Client(SocketAddr::new(address(source)?, parse_port(port)?))
        }
        _ => return Err(Malformed),
    };
    Ok(Some((source, end + 2)))
}

fn parse_port(text: &str) -> Result<u16, Malformed> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

/// The signature, version and command, family and transport, the length of what follows; then addresses and extensions.
fn parse_v2(bytes: &[u8]) -> Result<Option<(Source, usize)>, Malformed> {
    let Some((&[command, family, high, low], rest)) = bytes[SIGNATURE.len()..].split_first_chunk() else {
        return match bytes.get(SIGNATURE.len()) {
            Some(command) if !matches!(command, 0x20 | 0x21) => Err(Malformed),
            _ => Ok(None),
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) || length > V2_MAX {
        return Err(Malformed);
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let source = match (command, family) {
        (0x20, _) => Source::Proxy,
        (_, 0x11) => {
            let (address, rest) = body.split_first_chunk::<4>().ok_or(Malformed)?;
            client(Ipv4Addr::from(*address).into(), rest, 4)?
        }
        (_, 0x21) => {
            let (address, rest) = body.split_first_chunk::<16>().ok_or(Malformed)?;
            client(Ipv6Addr::from(*address).into(), rest, 16)?
        }
        // Of no family, or a Unix socket.
        (_, 0x00 | 0x31) => Source::Proxy,
        _ => return Err(Malformed),
    };
    Ok(Some((source, SIGNATURE.len() + 4 + length)))
}

/// `rest`: the destination's address of `size` bytes, the ports of both, and extensions, which are passed over.
fn client(address: IpAddr, rest: &[u8], size: usize) -> Result<Source, Malformed> {
    let ports = rest.get(size..size + 4).ok_or(Malformed)?;
    Ok(Source::Client(SocketAddr::new(address, u16::from_be_bytes([ports[0], ports[1]]))))
}

const V1: &[u8] = b"PROXY ";
/// With CR LF.
const V1_MAX: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of addresses and extensions. More is allowed by the protocol and sent by nobody.
const V2_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// The same verdict has to come however the bytes arrive.
    fn check(header: &[u8], expected: Result<Source, Malformed>) {
        let whole = [header, b"GET / HTTP/1.1\r\n"].concat();
        let found = (0..=whole.len()).find_map(|end| parse(&whole[..end]).transpose());
        let expected = expected.map(|source| (source, header.len()));
        assert_eq!(found, Some(expected), "{:?}", header.escape_ascii().to_string());
        assert_eq!(parse(&whole).transpose(), Some(expected));
    }

    fn client(address: &str) -> Result<Source, Malformed> {
        Ok(Source::Client(address.parse().expect("an address")))
    }

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n", client("192.0.2.1:51234"));
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", client("[2001:db8::1]:1"));
        check(b"PROXY UNKNOWN\r\n", Ok(Source::Proxy));
        check(b"PROXY UNKNOWN ffff:f...f:ffff 1 2\r\n", Ok(Source::Proxy));
        for bad in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 51234\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 51234 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.2 51234 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        ] {
            check(bad.as_bytes(), Err(Malformed));
        }
        assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91]].concat()), Ok(None), "105 bytes");
        assert_eq!(parse(&[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat()), Err(Malformed), "107 bytes, no end");
        assert_eq!(parse(b"GET "), Err(Malformed));
    }

    #[test]
    fn version_2() {
        let v2 = |command: u8, family: u8, body: &[u8]| {
            [SIGNATURE, &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
        };
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 1, 187];
        check(&v2(0x21, 0x11, &v4), client("192.0.2.1:4660"));
        // An extension behind the addresses: type 4, "nothing", of two bytes.
        check(&v2(0x21, 0x11, &[&v4[..], &[4, 0, 2, 0, 0]].concat()), client("192.0.2.1:4660"));
        check(&v2(0x21, 0x21, &[&[0x20; 32][..], &[0, 80, 0, 81]].concat()), {
            client("[2020:2020:2020:2020:2020:2020:2020:2020]:80")
        });
        check(&v2(0x20, 0x00, b"whatever"), Ok(Source::Proxy));
        check(&v2(0x21, 0x00, b""), Ok(Source::Proxy));
        check(&v2(0x21, 0x31, &[b'/'; 216]), Ok(Source::Proxy));
        check(&v2(0x21, 0x11, &v4[..11]), Err(Malformed));
        check(&v2(0x21, 0x12, &v4), Err(Malformed));
        check(&v2(0x22, 0x11, &v4), Err(Malformed));
        check(&v2(0x11, 0x11, &v4), Err(Malformed));
        check(&v2(0x21, 0x11, &[0; V2_MAX + 1]), Err(Malformed));
    }
}
