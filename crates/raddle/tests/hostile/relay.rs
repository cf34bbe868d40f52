//! What stands between peers that speak plainly and a server of wss: it puts TLS on what they send, takes it off what they get,
//! and tells the server who they are, as a trusted proxy does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raddle::ServerTls;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

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
                relayed.extract_if(.., |thread| thread.is_finished()).for_each(whole);
                relayed.push(thread::spawn(move || relay(peer, server, config)));
            }
            relayed.into_iter().for_each(whole);
        });
        Self { address, stopped, thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        let Some(thread) = self.thread.take() else { return };
        // A relay that has panicked has lost what a peer or the server has said.
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// Waits for a thread, which may not have panicked.
fn whole(thread: JoinHandle<()>) {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// Carries one connection. What ends it on one side, ends it on the other in the same way.
fn relay(peer: TcpStream, server: SocketAddr, config: Arc<ClientConfig>) {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    let (from, to) = (peer.peer_addr(), peer.local_addr());
    let Ok((from, to)) = from.and_then(|from| Ok((from, to?))) else { return };
    let word = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    peer.set_nodelay(true).expect("a socket");
    let Ok(tls) = stream.write_all(word.as_bytes()).and_then(|()| Tls::open(stream, config)) else {
        // The server has no place, or no time.
        return reset(&peer);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 16 * 1024];
            loop {
                match (&peer).read(&mut bytes) {
                    Ok(0) => return drop(tls.finish()),
                    // The server may have had enough.
                    Ok(count) => drop(tls.send(&bytes[..count])),
                    Err(_) => {
                        reset(&tls.stream);
                        return drop(tls.stream.shutdown(Shutdown::Both));
                    }
                }
            }
        });
        loop {
            match tls.receive() {
                Ok(Some(bytes)) => drop((&peer).write_all(&bytes)),
                Ok(None) => {
                    let _ = peer.shutdown(Shutdown::Write);
                    // As a socket that is closed: what still comes is answered by a reset.
                    let mut sockets = [PollFd::new(&tls.stream, PollFlags::IN)];
                    let _ = poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
                    break;
                }
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

/// TLS as its client speaks it, which may end what it sends and read on.
struct Tls {
    stream: TcpStream,
    state: Mutex<ClientConnection>,
}

impl Tls {
    fn open(mut stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut state =
            ClientConnection::new(config, ServerName::try_from("localhost").expect("a name")).expect("a client");
        state.set_buffer_limit(None);
        while state.is_handshaking() {
            state.complete_io(&mut stream)?;
        }
        Ok(Self { stream, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, ClientConnection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.write(|state| state.writer().write_all(bytes))
    }

    fn finish(&self) -> io::Result<()> {
        self.write(|state| {
            state.send_close_notify();
            Ok(())
        })?;
        self.stream.shutdown(Shutdown::Write)
    }

    /// Writes without the lock: the server may have to be read meanwhile.
    fn write(&self, put: impl FnOnce(&mut ClientConnection) -> io::Result<()>) -> io::Result<()> {
        let mut records = Vec::new();
        let mut state = self.state();
        put(&mut state)?;
        while state.wants_write() {
            state.write_tls(&mut records)?;
        }
        drop(state);
        (&self.stream).write_all(&records)
    }

    /// What has arrived, if only records without bytes. `None`: the server has ended the stream.
    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut records = [0; 16 * 1024];
        let received = (&self.stream).read(&mut records)?;
        let (mut records, mut bytes) = (&records[..received], Vec::new());
        let mut state = self.state();
        loop {
            let taken = state.read_tls(&mut records)?;
            let found = state.process_new_packets().map_err(io::Error::other)?;
            let start = bytes.len();
            bytes.resize(start + found.plaintext_bytes_to_read(), 0);
            state.reader().read_exact(&mut bytes[start..])?;
            if found.peer_has_closed() && bytes.is_empty() {
                return Ok(None);
            }
            if received == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if records.is_empty() || taken == 0 {
                return Ok(Some(bytes));
            }
        }
    }
}

/// Has a socket reset when it is closed.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
