//! What stands between peers that speak plainly and a server or a client of wss: it puts TLS on what they send, and takes it off
//! what they get. Whom a server has to do with, it is told as by a trusted proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raddle::{ClientTls, ServerTls};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

/// A certificate of `localhost`, for the server and for those that trust it: the library's and the relay's.
pub(crate) struct Certificate {
    pub(crate) of_server: ServerTls,
    pub(crate) of_client: ClientTls,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let der = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![der], PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"))
            .expect("they belong together");
        Self {
            of_server: ServerTls::from_pem(chain.as_str(), key).expect("in order"),
            of_client: ClientTls::new().without_system_roots().add_roots_pem(chain).expect("a root"),
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }
}

/// A running relay, which ends when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// For peers that are clients of a server of wss.
    pub(crate) fn to_server(server: SocketAddr, certificate: &Certificate) -> Self {
        let config = Arc::clone(&certificate.client);
        Self::start(move |peer| {
            let mut stream = TcpStream::connect(server).expect("the server listens");
            let (from, to) = (peer.peer_addr().ok()?, peer.local_addr().ok()?);
            let word = format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
            let name = ServerName::try_from("localhost").expect("a name");
            let state = ClientConnection::new(Arc::clone(&config), name).expect("a client");
            match stream.write_all(word.as_bytes()).and_then(|()| Tls::open(stream, state.into())) {
                Ok(tls) => Some((peer, tls)),
                Err(_) => {
                    // The server has no place, or no time.
                    reset(&peer);
                    None
                }
            }
        })
    }

    /// For a peer that is the server of clients of wss.
    pub(crate) fn to_clients(peer: SocketAddr, certificate: &Certificate) -> Self {
        let config = Arc::clone(&certificate.server);
        Self::start(move |client| {
            let state = ServerConnection::new(Arc::clone(&config)).expect("a server");
            let tls = Tls::open(client, state.into()).expect("the client trusts it");
            Some((TcpStream::connect(peer).expect("the peer listens"), tls))
        })
    }

    /// Carries what `meet` makes of whoever connects: the stream of plain bytes, and the one of records.
    fn start(meet: impl Fn(TcpStream) -> Option<(TcpStream, Tls)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let (is_stopped, meet) = (Arc::clone(&stopped), Arc::new(meet));
        let thread = thread::spawn(move || {
            let mut relayed: Vec<JoinHandle<()>> = Vec::new();
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (stream, meet) = (stream.expect("a stream"), Arc::clone(&meet));
                relayed.extract_if(.., |thread| thread.is_finished()).for_each(whole);
                relayed.push(thread::spawn(move || {
                    stream.set_nodelay(true).expect("a socket");
                    if let Some((plain, tls)) = meet(stream) {
                        carry(&plain, &tls);
                    }
                }));
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
        // A relay that has panicked has lost what a peer or the library has said.
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
fn carry(plain: &TcpStream, tls: &Tls) {
    plain.set_nodelay(true).expect("a socket");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 16 * 1024];
            loop {
                match (&*plain).read(&mut bytes) {
                    Ok(0) => return drop(tls.finish()),
                    // The library may have had enough.
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
                Ok(Some(bytes)) => drop((&*plain).write_all(&bytes)),
                Ok(None) => {
                    let _ = plain.shutdown(Shutdown::Write);
                    // As a socket that is closed: what still comes is answered by a reset.
                    let mut sockets = [PollFd::new(&tls.stream, PollFlags::IN)];
                    let _ = poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    reset(plain);
                    let _ = plain.shutdown(Shutdown::Both);
                    break;
                }
            }
        }
    });
}

/// TLS as either side speaks it, which may end what it sends and read on.
struct Tls {
    stream: TcpStream,
    state: Mutex<Connection>,
}

impl Tls {
    fn open(mut stream: TcpStream, mut state: Connection) -> io::Result<Self> {
        state.set_buffer_limit(None);
        while state.is_handshaking() {
            state.complete_io(&mut stream)?;
        }
        Ok(Self { stream, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, Connection> {
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

    /// Writes without the lock: the library may have to be read meanwhile.
    fn write(&self, put: impl FnOnce(&mut Connection) -> io::Result<()>) -> io::Result<()> {
        let mut records = Vec::new();
        let mut state = self.state();
        put(&mut state)?;
        while state.wants_write() {
            state.write_tls(&mut records)?;
        }
        drop(state);
        (&self.stream).write_all(&records)
    }

    /// What has arrived, if only records without bytes. `None`: the library has ended the stream.
    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        // It may have come with the end of the handshake.
        Self::take_plain(&mut self.state(), &mut bytes)?;
        if !bytes.is_empty() {
            return Ok(Some(bytes));
        }
        let mut records = [0; 16 * 1024];
        let received = (&self.stream).read(&mut records)?;
        let mut records = &records[..received];
        let mut state = self.state();
        loop {
            let taken = state.read_tls(&mut records)?;
            if Self::take_plain(&mut state, &mut bytes)? && bytes.is_empty() {
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

    /// Appends what is decrypted. `true`: that was all.
    fn take_plain(state: &mut Connection, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let found = state.process_new_packets().map_err(io::Error::other)?;
        let start = bytes.len();
        bytes.resize(start + found.plaintext_bytes_to_read(), 0);
        state.reader().read_exact(&mut bytes[start..])?;
        Ok(found.peer_has_closed())
    }
}

/// Has a socket reset when it is closed.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
