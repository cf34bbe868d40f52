//! What stands between peers that speak plainly and a server of wss: it puts TLS on what they send, takes it off what they get,
//! and tells the server who they are, as a trusted proxy does.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raddle::{Handshake, Interest, Patience, ServerTls, Socket, TlsStream, Transport};
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::peer::PATIENCE;

/// A certificate of `localhost`, for the server and for those that trust it.
pub(crate) struct Certificate {
    pub(crate) tls: ServerTls,
    client: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let tls = ServerTls::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).expect("in order");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("PEM")).expect("a root");
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls, client: Arc::new(client) }
    }
}

/// A running relay, which ends when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn start(server: SocketAddr, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let (is_stopped, config) = (Arc::clone(&stopped), Arc::clone(&certificate.client));
        let thread = thread::spawn(move || {
            let mut relayed: Vec<JoinHandle<()>> = Vec::new();
            for peer in listener.incoming() {
                if is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (peer, config) = (peer.expect("a peer"), Arc::clone(&config));
                relayed.retain(|thread| !thread.is_finished());
                relayed.push(thread::spawn(move || relay(peer, server, config)));
            }
            relayed.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        });
        Self { address, stopped, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries one connection. What ends it on one side, ends it on the other in the same way.
fn relay(peer: TcpStream, server: SocketAddr, config: Arc<ClientConfig>) {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    let (from, to) = (peer.peer_addr(), peer.local_addr());
    let Ok((from, to)) = from.and_then(|from| Ok((from, to?))) else { return };
    let word = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    stream.write_all(word.as_bytes()).expect("the server reads");
    peer.set_nodelay(true).expect("a socket");
    let handle = stream.try_clone().expect("a descriptor");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsStream::client(Socket::tcp(stream).expect("a socket"), config, name).expect("a client");
    loop {
        match tls.handshake() {
            Ok(Handshake::Done) => break,
            Ok(Handshake::Waits(interest)) => drop(tls.wait(interest, Some(PATIENCE)).expect("a socket")),
            // The server has no place, or no time.
            Err(_) => return reset(&peer),
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 16 * 1024];
            loop {
                match (&peer).read(&mut bytes) {
                    Ok(0) => return drop(tls.shutdown(Shutdown::Write)),
                    Ok(count) if send(&tls, &bytes[..count]).is_ok() => {}
                    Ok(_) => {}
                    Err(_) => {
                        reset(&handle);
                        return drop(tls.socket().shutdown(Shutdown::Both));
                    }
                }
            }
        });
        let mut bytes = vec![0; 16 * 1024];
        loop {
            match tls.receive(&mut bytes, Patience::Block) {
                Ok(0) => {
                    let _ = peer.shutdown(Shutdown::Write);
                    // As a socket that is closed: what still comes is answered by a reset.
                    let _ = tls.wait(Interest::Read, Some(Duration::ZERO));
                    break;
                }
                Ok(count) if (&peer).write_all(&bytes[..count]).is_ok() => {}
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    reset(&peer);
                    let _ = peer.shutdown(Shutdown::Both);
                    break;
                }
            }
        }
    });
}

fn send(tls: &TlsStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match tls.send(&[IoSlice::new(bytes)]) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tls.wait(Interest::Write, Some(PATIENCE))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Has a socket reset when it is closed.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
