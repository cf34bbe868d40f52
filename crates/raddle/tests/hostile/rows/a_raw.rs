//! Group A: before any HTTP, wrong protocols and raw TCP.

use std::time::Duration;

use crate::case::{Case, Modes, Setup, Then, dropped, open, reject};
use crate::head;
use crate::run::cuts::Numbers;

pub(crate) fn rows() -> Vec<Case> {
    // Half a second stands for 10 s: a busy machine takes some of it from who sends piece by piece.
    let hurried = Setup { handshake_timeout: Duration::from_millis(500), ..Setup::default() };
    let mut random = Numbers::new(5);
    let random: Vec<u8> = (0..1 << 20).map(|_| random.below(256) as u8).collect();
    vec![
        // T_HS, measured from accept(2), whatever arrives.
        dropped(1, "nothing", b"").on(hurried.clone()),
        dropped(1, "half a request line", b"GET /ch").on(hurried.clone()),
        dropped(1, "a head without its end", head::sample().end("")).on(hurried),
        dropped(2, "the end of the stream, and nothing before it", b"").then(Then::Finish),
        dropped(2, "the end of the stream amid the request", b"GET /chat HTTP/1.1\r\nHost:").then(Then::Finish),
        // Content type 22, version 3.1, length 512, a client's hello.
        reject(4, 400, "a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        reject(4, 400, "the first byte of a TLS ClientHello", b"\x16"),
        reject(5, 400, "an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n"),
        reject(5, 400, "an SMTP greeting", b"EHLO client.example\r\n"),
        reject(5, 400, "a Redis command", b"PING\r\n"),
        reject(5, 400, "a Redis command as an array", b"*1\r\n$4\r\nPING\r\n"),
        // TPKT version 3, length 19, an X.224 connection request.
        reject(5, 400, "an RDP connection request", b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00"),
        // A NetBIOS session message of 69 bytes, the SMB magic.
        reject(5, 400, "an SMB negotiation", b"\x00\x00\x00\x45\xffSMB\x72\x00\x00\x00\x00"),
        reject(5, 400, "1 MiB of zeros", vec![0; 1 << 20]),
        reject(5, 400, "1 MiB of 0xff", vec![0xff; 1 << 20]),
        reject(5, 400, "1 MiB of random bytes", random),
        reject(6, 505, "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        reject(7, 400, "a request of HTTP/0.9", b"GET /chat\r\n"),
        reject(8, 400, "a header of the PROXY protocol, version 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"),
        reject(8, 400, "a header of the PROXY protocol, version 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"),
        // Each in one segment per byte too, with a count of the bytes that were examined.
        open(9, "the request of the RFC", head::sample()),
        open(9, "a request of the largest size", head::sample().filled_to(16 * 1024)).only(Modes::CORE),
        open(12, "the end of the stream behind a valid request", head::sample()).then(Then::Finish),
    ]
}
