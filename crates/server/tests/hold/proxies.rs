//! Behind a proxy: the client's own address counts, where somebody trusted tells it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use raddle_server::{
    AddressSource, Builder, HandlerError, Reader, Refusal, Request, Response, Server, TrustedProxy, Writer,
};

use crate::support::*;

/// A way in which a proxy tells an address: the server's setting, and what comes before the request and in it.
struct Way {
    name: &'static str,
    source: AddressSource,
    preface: fn(SocketAddr) -> Vec<u8>,
    header: fn(SocketAddr) -> String,
}

const WAYS: &[Way] = &[
    Way {
        name: "PROXY protocol, version 1",
        source: AddressSource::ProxyProtocol,
        preface: |client| {
            let (family, proxy) = if client.is_ipv4() { ("TCP4", "192.0.2.254") } else { ("TCP6", "2001:db8::ffff") };
            format!("PROXY {family} {} {proxy} {} 443\r\n", client.ip(), client.port()).into_bytes()
        },
        header: |_| String::new(),
    },
    Way {
        name: "PROXY protocol, version 2",
        source: AddressSource::ProxyProtocol,
        preface: version_2,
        header: |_| String::new(),
    },
    Way {
        name: "Forwarded",
        source: AddressSource::Forwarded,
        preface: |_| Vec::new(),
        header: |client| format!("Forwarded: for=6.6.6.6, for=\"{client}\";proto=https\r\n"),
    },
    Way {
        name: "X-Forwarded-For",
        source: AddressSource::XForwardedFor,
        preface: |_| Vec::new(),
        header: |client| format!("X-Forwarded-For: 6.6.6.6, {client}\r\n"),
    },
];

/// The header of version 2 with an extension of two bytes behind the addresses.
fn version_2(client: SocketAddr) -> Vec<u8> {
    let (family, mut addresses) = match client.ip() {
        IpAddr::V4(address) => (0x11, [address.octets(), [192, 0, 2, 254]].concat()),
        IpAddr::V6(address) => (0x21, [address.octets(), [0x20; 16]].concat()),
    };
    addresses.extend_from_slice(&client.port().to_be_bytes());
    addresses.extend_from_slice(&443_u16.to_be_bytes());
    addresses.extend_from_slice(&[4, 0, 2, 0, 0]);
    [b"\r\n\r\n\0\r\nQUIT\n\x21".as_slice(), &[family, 0, addresses.len() as u8], &addresses].concat()
}

impl Way {
    /// A server whose clients come through a proxy on this machine, and are told their address.
    fn behind(&self, change: impl FnOnce(Builder) -> Builder) -> Host {
        let trusted: TrustedProxy = "127.0.0.1".parse().expect("an address");
        Host::start(change(builder()).trusted_proxies(self.source, [trusted]), tell_address)
    }

    /// What the proxy sends for a client that asks for a WebSocket.
    fn bytes(&self, client: SocketAddr) -> Vec<u8> {
        [(self.preface)(client), request(&(self.header)(client)).into_bytes()].concat()
    }

    fn ask(&self, host: &Host, client: &str) -> TcpStream {
        let mut stream = host.dial();
        stream.write_all(&self.bytes(client.parse().expect("an address"))).expect("taken");
        stream
    }
}

/// Tells the client its address, and sends back what it says.
fn tell_address(reader: Reader, writer: Writer) -> Result<(), HandlerError> {
    let peer = reader.info().peer.map_or("none".to_owned(), |peer| peer.to_string());
    writer.send(peer.as_str())?;
    echo(reader, writer)
}

#[test]
fn the_clients_own_address_counts_and_stands_in_the_registry() {
    for way in WAYS {
        let host = way.behind(|builder| builder.max_connections_per_ip(2));
        let mut clients: Vec<_> = ["192.0.2.7:1001", "192.0.2.7:1002", "192.0.2.8:1003", "[2001:db8::7]:1004"]
            .map(|address| {
                let mut client = opened(way.ask(&host, address));
                assert_eq!(client.frame(), text(address), "{}", way.name);
                client
            })
            .into();
        let mut seen: Vec<_> = host.connections().into_iter().map(|it| it.peer.expect("an address").port()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1001, 1002, 1003, 1004], "{}", way.name);
        // A third of the same address: its proxy is told why, where there is an answer to be told in.
        let third = answer(&mut way.ask(&host, "192.0.2.7:1005")).map(|(status, _)| status);
        let expected = if way.source == AddressSource::ProxyProtocol { None } else { Some(429) };
        assert_eq!(third, expected, "{}", way.name);
        assert_eq!(host.refused(Refusal::AddressFull), 1, "{}", way.name);
        clients.iter_mut().for_each(|client| echoes(client, "they stay"));
        leave(clients.remove(0));
        eventually("the place is free again", || {
            matches!(answer(&mut way.ask(&host, "192.0.2.7:1006")), Some((101, _)))
        });
    }
}

#[test]
fn the_network_of_a_client_and_its_rate_count() {
    for way in WAYS {
        let host = way.behind(|builder| builder.max_connections_per_ip(1));
        let _first = opened(way.ask(&host, "[2001:db8::1]:1"));
        let neighbour = answer(&mut way.ask(&host, "[2001:db8::ffff:ffff:ffff:ffff]:2")).map(|(status, _)| status);
        assert!(matches!(neighbour, None | Some(429)), "{}: {neighbour:?}", way.name);
        assert_eq!(host.refused(Refusal::AddressFull), 1, "{}", way.name);
        leave_told(opened(way.ask(&host, "[2001:db8:0:1::1]:3")));

        let host = way.behind(|builder| builder.connection_rate_per_ip(2, std::time::Duration::from_secs(3600)));
        (0..2).for_each(|_| leave_told(opened(way.ask(&host, "192.0.2.7:1"))));
        let third = answer(&mut way.ask(&host, "192.0.2.7:1")).map(|(status, _)| status);
        assert!(matches!(third, None | Some(429)), "{}: {third:?}", way.name);
        assert_eq!(host.refused(Refusal::AddressRate), 1, "{}", way.name);
        leave_told(opened(way.ask(&host, "192.0.2.8:1")));
    }
}

#[test]
fn the_clients_own_address_is_known_to_the_decision() {
    for way in WAYS {
        let gate = Gate::default();
        let at_gate = gate.clone();
        let decide = move |request: Request| {
            at_gate.wait();
            let told = request.peer().expect("an address").to_string();
            let response = Response::new(200).expect("a status").body(told);
            request.respond(response).expect("in time");
        };
        let host = way.behind(|builder| builder.on_request(decide));
        let mut stream = way.ask(&host, "192.0.2.7:1001");
        gate.expect(1);
        let [snapshot] = <[_; 1]>::try_from(host.connections()).expect("one");
        assert_eq!(snapshot.peer.map(|peer| peer.to_string()).as_deref(), Some("192.0.2.7:1001"), "{}", way.name);
        gate.open();
        let (status, mut told) = answer(&mut stream).expect("an answer");
        stream.read_to_end(&mut told).expect("the rest of it");
        assert_eq!((status, told.as_slice()), (200, b"192.0.2.7:1001".as_slice()), "{}", way.name);
    }
}

/// Leaves behind what the handler has told.
fn leave_told<S: Stream>(mut client: Peer<S>) {
    client.frame();
    leave(client);
}

#[test]
fn it_makes_no_difference_how_the_bytes_arrive() {
    // Hostile input 8: support is on, and the header is in order.
    let address = "192.0.2.7:1001";
    for way in WAYS {
        let host = way.behind(|builder| builder);
        let bytes = way.bytes(address.parse().expect("an address"));
        // In one segment with the request, and with frames behind it.
        let mut stream = host.dial();
        let frame = Peer::new(stream.try_clone().expect("a clone"), raddle_core::Role::Client).encode(&text("at once"));
        stream.write_all(&[&bytes[..], &frame, &frame].concat()).expect("taken");
        let mut client = opened(stream);
        for expected in [address, "at once", "at once"] {
            assert_eq!(client.frame(), text(expected), "{}", way.name);
        }
        leave(client);
        // Byte by byte, each in a segment of its own.
        let mut stream = host.dial();
        stream.set_nodelay(true).expect("an option");
        bytes.iter().for_each(|byte| stream.write_all(&[*byte]).expect("taken"));
        let mut client = opened(stream);
        assert_eq!(client.frame(), text(address), "{}", way.name);
        leave(client);
    }
}

#[test]
fn what_a_trusted_proxy_says_wrong_is_refused_and_counted() {
    // Hostile input 8: malformed and oversized headers.
    let proxy_protocol = [
        &b"PROXY TCP4 192.0.2.256 192.0.2.254 1 443\r\n"[..],
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.254 1 443\r\n",
        &[b'P'; 200],
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        // Version 1 in the signature of version 2; a length that nobody sends.
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\xfe\0\x01\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        // Every connection has to begin with the header, health checks among them.
        b"",
        b"\r\n",
    ];
    for bad in proxy_protocol {
        for one_by_one in [false, true] {
            let host = WAYS[0].behind(|builder| builder);
            let mut stream = host.dial();
            stream.set_nodelay(true).expect("an option");
            let bytes = [bad, request("").as_bytes()].concat();
            for piece in bytes.chunks(if one_by_one { 1 } else { bytes.len() }) {
                match stream.write_all(piece) {
                    // It was dropped before it has said all.
                    Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
                    result => result.expect("taken"),
                }
            }
            assert_eq!(answer(&mut stream), None, "{}", bad.escape_ascii());
            assert_eq!(host.refused(Refusal::Proxy), 1, "{}", bad.escape_ascii());
        }
    }
    let headers: [(&Way, &str); 5] = [
        (&WAYS[2], "Forwarded: for=\"192.0.2.7\r\n"),
        (&WAYS[2], "Forwarded: for=example.com\r\n"),
        (&WAYS[2], "Forwarded: nonsense\r\n"),
        (&WAYS[3], "X-Forwarded-For: example.com\r\n"),
        (&WAYS[3], "X-Forwarded-For: \u{fffd}\r\n"),
    ];
    for (way, header) in headers {
        let host = way.behind(|builder| builder);
        assert_eq!(status(&mut host.ask(header)), 400, "{header}");
        assert_eq!(host.refused(Refusal::Proxy), 1, "{header}");
    }
}

#[test]
fn an_address_that_the_proxy_does_not_tell_is_its_own() {
    // Hostile input 8: what follows LOCAL is passed over, as the specification of the PROXY protocol has it (section 2.2).
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\x04junk";
    let untold: [(&Way, &[u8], &str); 6] = [
        (&WAYS[0], b"PROXY UNKNOWN\r\n", ""),
        (&WAYS[0], b"PROXY UNKNOWN 2001:db8::1 2001:db8::2 1 2\r\n", ""),
        (&WAYS[1], local, ""),
        (&WAYS[2], b"", ""),
        (&WAYS[2], b"", "Forwarded: for=unknown\r\n"),
        // Another header than the one that the proxy sets is the client's invention.
        (&WAYS[3], b"", "Forwarded: for=192.0.2.7\r\n"),
    ];
    for (way, preface, header) in untold {
        let host = way.behind(|builder| builder.max_connections_per_ip(1));
        let mut stream = host.dial();
        stream.write_all(&[preface, request(header).as_bytes()].concat()).expect("taken");
        let proxy = stream.local_addr().expect("connected");
        let mut client = opened(stream);
        assert_eq!(client.frame(), text(&proxy.to_string()), "{} {header}", preface.escape_ascii());
        // It counts as any other.
        let mut second = host.dial();
        second.write_all(&[preface, request(header).as_bytes()].concat()).expect("taken");
        assert!(matches!(answer(&mut second), None | Some((429, _))));
        assert_eq!(host.refused(Refusal::AddressFull), 1);
        leave(client);
    }
}

#[test]
fn a_peer_that_is_not_trusted_cannot_say_who_it_is() {
    // Hostile input 8: a header from a source that is not trusted.
    let client: SocketAddr = "192.0.2.7:1001".parse().expect("an address");
    for way in WAYS {
        let trusted: [TrustedProxy; 2] = ["10.0.0.0/8", "unix"].map(|it| it.parse().expect("a network"));
        let host = Host::start(builder().trusted_proxies(way.source, trusted), tell_address);
        if way.source == AddressSource::ProxyProtocol {
            // Somebody who poses as a proxy is dropped, in whatever pieces it does.
            let bytes = way.bytes(client);
            for end in 1..30.min(bytes.len()) {
                let mut stream = host.dial();
                stream.set_nodelay(true).expect("an option");
                stream.write_all(&bytes[..end]).expect("taken");
                // The server may have heard enough.
                let _ = stream.write_all(&bytes[end..]);
                assert_eq!(answer(&mut stream), None, "{}, cut at {end}", way.name);
            }
            assert_eq!(host.refused(Refusal::Proxy), 29, "{}", way.name);
        }
        let stream = host.ask(&(way.header)(client));
        let address = stream.local_addr().expect("connected");
        let mut client = opened(stream);
        assert_eq!(client.frame(), text(&address.to_string()), "{}", way.name);
        leave(client);
    }
}

#[test]
fn whoever_reaches_a_unix_socket_is_a_proxy_where_that_was_said() {
    let directory = Directory::new("proxies");
    for (trusted, told) in [(TrustedProxy::UNIX, "192.0.2.7:1001"), ("127.0.0.1".parse().expect("it"), "none")] {
        for way in WAYS {
            let path = directory.join("socket");
            let builder = Server::builder().bind_unix(&path).expect("a socket");
            let host = Host::start(builder.trusted_proxies(way.source, [trusted]), tell_address);
            let preface = (way.preface)("192.0.2.7:1001".parse().expect("an address"));
            let header = (way.header)("192.0.2.7:1001".parse().expect("an address"));
            let mut stream = UnixStream::connect(&path).expect("connected");
            stream.write_all(&[&preface, request(&header).as_bytes()].concat()).expect("taken");
            if told == "none" && !preface.is_empty() {
                assert_eq!(answer(&mut stream), None, "{}", way.name);
                assert_eq!(host.refused(Refusal::Proxy), 1, "{}", way.name);
                continue;
            }
            let mut client = opened(stream);
            assert_eq!(client.frame(), text(told), "{}", way.name);
            let peer = host.connections()[0].peer;
            assert_eq!(peer.map_or("none".to_owned(), |peer| peer.to_string()), told, "{}", way.name);
            leave(client);
        }
    }
}
