//! TLS of a server: certificates and keys in, settings out that can be replaced while connections go on.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use raddle_socket::rustls::client::verify_server_name;
use raddle_socket::rustls::crypto::{CryptoProvider, ring};
use raddle_socket::rustls::pki_types::pem::PemObject;
use raddle_socket::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use raddle_socket::rustls::server::{
    ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier,
};
use raddle_socket::rustls::sign::CertifiedKey;
use raddle_socket::rustls::{RootCertStore, ServerConfig};
use raddle_socket::{Socket, TlsStream};

/// The TLS of a server: TLS 1.2 and 1.3, resumption by tickets, ALPN `http/1.1`; no early data, which could be replayed.
///
/// ```no_run
/// use raddle_server::{Server, ServerTls};
///
/// let tls = ServerTls::from_files("chain.pem", "key.pem")?;
/// let server = Server::builder().bind_tls("0.0.0.0:443", &tls)?.build()?;
/// // When the certificate was renewed; from any thread.
/// tls.reload()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A clone is a handle of the same settings.
#[derive(Clone)]
pub struct ServerTls {
    inner: Arc<Inner>,
}

struct Inner {
    config: Mutex<Arc<ServerConfig>>,
    sources: Mutex<ServerTlsBuilder>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Those that have one do. One that is not in order ends the handshake all the same.
    Optional,
    /// Without one, the handshake fails.
    Required,
}

/// Sets up a [`ServerTls`].
#[must_use = "a setter gives the changed value, and changes nothing else"]
#[derive(Clone, Default)]
pub struct ServerTlsBuilder {
    certificates: Vec<(Source, Source)>,
    clients: Option<(ClientCertificates, Source)>,
}

/// Where something in PEM is.
#[derive(Clone)]
enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl ServerTls {
    /// Sets up TLS with more than one certificate, or with those of clients.
    pub fn builder() -> ServerTlsBuilder {
        ServerTlsBuilder::default()
    }

    /// TLS with the certificate chain and the private key of two PEM files.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> io::Result<Self> {
        Self::builder().certificate_files(chain, key).build()
    }

    /// TLS with a certificate chain and a private key in PEM.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> io::Result<Self> {
        Self::builder().certificate_pem(chain, key).build()
    }

    /// Reads the files again. New connections get what is in them; those that are there go on. An error where something is
    /// not in order: then all stays as it is.
    pub fn reload(&self) -> io::Result<()> {
        let sources = self.inner.sources.lock();
        *self.inner.config.lock() = sources.make()?;
        Ok(())
    }

    /// Has new connections get other settings, as [`reload`](Self::reload) does.
    pub fn replace(&self, by: ServerTlsBuilder) -> io::Result<()> {
        let mut sources = self.inner.sources.lock();
        *self.inner.config.lock() = by.make()?;
        *sources = by;
        Ok(())
    }

    /// Puts TLS on a socket, with the settings of this moment.
    pub(crate) fn put_on(&self, socket: Socket) -> io::Result<TlsStream> {
        let config = Arc::clone(&self.inner.config.lock());
        TlsStream::server(socket, config)
    }
}

impl ServerTlsBuilder {
    /// Adds a certificate chain, the server's own first, and its private key, from two PEM files.
    ///
    /// May be called several times: a client gets the first that is valid for the name that it asks for (SNI) and that it
    /// can verify, else the first that it can verify.
    pub fn certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificates.push((Source::File(chain.into()), Source::File(key.into())));
        self
    }

    /// As [`certificate_files`](Self::certificate_files), of bytes in PEM.
    pub fn certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.push((Source::Bytes(chain.into()), Source::Bytes(key.into())));
        self
    }

    /// Asks clients for a certificate that leads to one of the roots in a PEM file. The application gets it with the request.
    pub fn client_certificate_file(self, clients: ClientCertificates, roots: impl Into<PathBuf>) -> Self {
        Self { clients: Some((clients, Source::File(roots.into()))), ..self }
    }

    /// As [`client_certificate_file`](Self::client_certificate_file), of bytes in PEM.
    pub fn client_certificate_pem(self, clients: ClientCertificates, roots: impl Into<Vec<u8>>) -> Self {
        Self { clients: Some((clients, Source::Bytes(roots.into()))), ..self }
    }

    /// Reads all of it. An error says what is missing, malformed or does not belong together, and in which file.
    pub fn build(self) -> io::Result<ServerTls> {
        let config = Mutex::new(self.make()?);
        Ok(ServerTls { inner: Arc::new(Inner { config, sources: Mutex::new(self) }) })
    }

    fn make(&self) -> io::Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let keys = self.certificates.iter().map(|(chain, key)| certified(chain, key, &provider));
        let keys = keys.collect::<io::Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a server needs a certificate"));
        }
        let verifier: Arc<dyn ClientCertVerifier> = match &self.clients {
            None => Arc::new(NoClientAuth),
            Some((clients, source)) => {
                let mut roots = RootCertStore::empty();
                for root in chain(source)? {
                    roots.add(root).map_err(|error| source.fault(error))?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                let builder = match clients {
                    ClientCertificates::Optional => builder.allow_unauthenticated(),
                    ClientCertificates::Required => builder,
                };
                builder.build().map_err(|error| source.fault(error))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Certificates { keys }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What a client has learned of the session is kept by itself, and costs the server nothing.
        config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }
}

impl Source {
    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            }
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// What is wrong with it.
    fn fault(&self, what: impl fmt::Display) -> io::Error {
        let text = match self {
            Self::File(path) => format!("{}: {what}", path.display()),
            Self::Bytes(_) => what.to_string(),
        };
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

/// The certificates of a PEM source: one at least.
fn chain(source: &Source) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(&source.read()?).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(source.fault("there is no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(source.fault(error)),
    }
}

fn certified(chain_source: &Source, key: &Source, provider: &CryptoProvider) -> io::Result<Arc<CertifiedKey>> {
    let chain = chain(chain_source)?;
    let private = PrivateKeyDer::from_pem_slice(&key.read()?)
        .map_err(|error| key.fault(format_args!("there is no private key in it: {error}")))?;
    // The certificate itself has to be in order: a client is told which of several it gets by the names in it.
    ParsedCertificate::try_from(&chain[0]).map_err(|error| chain_source.fault(error))?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| key.fault(error))?;
    Ok(Arc::new(certified))
}

/// The certificates of a server, in the order of preference.
#[derive(Debug)]
struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_verify = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(client.signature_schemes()).is_some();
        let name = client.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |key: &&Arc<CertifiedKey>| {
            let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
            name.as_ref().zip(certificate.ok()).is_some_and(|(name, it)| verify_server_name(&it, name).is_ok())
        };
        let found = self.keys.iter().find(|key| is_for(key) && can_verify(key));
        // With one that it cannot verify, the handshake fails for what is really missing.
        found.or_else(|| self.keys.iter().find(can_verify)).or(self.keys.first()).cloned()
    }
}

impl fmt::Debug for ServerTls {
    // Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerTlsBuilder {
    // Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.clients.as_ref().map(|(clients, _)| clients);
        f.debug_struct("ServerTlsBuilder")
            .field("certificates", &self.certificates.len())
            .field("clients", &clients)
            .finish()
    }
}
