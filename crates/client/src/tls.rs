//! TLS of a client: whom it trusts and who it says it is in, the settings of its connections out.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use raddle_socket::rustls::crypto::ring;
use raddle_socket::rustls::pki_types::pem::PemObject;
use raddle_socket::rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName};
use raddle_socket::rustls::{ClientConfig, RootCertStore};
use raddle_socket::{Handshake, Socket, TlsStream, Transport};

use crate::error::{ConnectError, Stage};
use crate::roots::{AGAIN, Kept, Unread, kept, system_roots};
use crate::tls_error::TlsError;
use crate::until::Until;
use crate::url::{Host, Url};
use crate::verifier::Verifier;

/// The TLS of a client, for [`Client::tls`](crate::Client::tls): TLS 1.2 and 1.3. Default: the server shows a certificate that is
/// valid for the URL's host and leads to a root that the system trusts; the client shows none.
///
/// The system's roots are where OpenSSL looks for them: in `SSL_CERT_FILE` and `SSL_CERT_DIR`, where those are set. They are read
/// once, and again a minute later where descriptors or memory had run out or others stand in for them, or at once where there is
/// no root at all. With the feature `webpki-roots`, Mozilla's stand in where there are none.
///
/// ```no_run
/// use raddle_client::{Client, ClientTls};
///
/// let tls = ClientTls::new().add_roots_pem(std::fs::read("ca.pem")?)?;
/// let connection = Client::new().tls(tls).connect("wss://example.com/")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A clone shares the sessions that can be resumed.
#[must_use = "a setter gives the changed value, and changes nothing else"]
#[derive(Clone)]
pub struct ClientTls {
    system: bool,
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    name: Option<ServerName<'static>>,
    verifies: bool,
    /// Made when it is first needed. What cannot be made is tried again.
    config: Arc<Made>,
    /// The same, for servers that the client does not show its certificate to.
    config_for_others: Arc<Made>,
}

type Made = Mutex<Option<Kept<Arc<ClientConfig>>>>;

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientTls {
    /// The defaults.
    pub fn new() -> Self {
        // All clients with the defaults share their sessions, and what was made of the system's roots.
        static DEFAULT: OnceLock<Arc<Made>> = OnceLock::new();
        let config = Arc::clone(DEFAULT.get_or_init(Arc::default));
        let config_for_others = Arc::clone(&config);
        Self { system: true, roots: Vec::new(), identity: None, name: None, verifies: true, config, config_for_others }
    }

    /// Trusts the certificates of `pem` as roots, beside those of the system.
    pub fn add_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        self.roots.extend(certificates(pem.as_ref())?);
        Ok(self.changed())
    }

    /// Trusts none of the system's roots: only those that were added.
    pub fn without_system_roots(mut self) -> Self {
        self.system = false;
        self.changed()
    }

    /// Shows a certificate to servers that ask for one: its chain, the client's own first, and its private key, in PEM.
    pub fn certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|error| TlsError::Settings(format!("there is no private key: {error}")))?;
        self.identity = Some(Arc::new(Identity { chain: certificates(chain.as_ref())?, key }));
        Ok(self.changed())
    }

    /// Expects the server to be the one of this name or address, not of the URL's: it is what the certificate has to be valid
    /// for, and what the server is asked for (SNI).
    pub fn server_name(mut self, name: impl Into<String>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(name.into());
        self.name = Some(name.map_err(|_| TlsError::Settings("it is no server's name".into()))?);
        Ok(self.changed())
    }

    /// Takes any certificate for the server's: **whoever is on the way can read and change everything**. For tests.
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.verifies = false;
        self.changed()
    }

    /// What servers get that a redirect has led to, and that are not who was asked for: they are not shown who the client is, and
    /// have to be who the URL says.
    pub(crate) fn for_others(&self) -> Self {
        Self { identity: None, name: None, config: Arc::clone(&self.config_for_others), ..self.clone() }
    }

    /// Finds what the caller has to mend.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        self.config().map(drop)
    }

    /// Carries out the handshake, with the server of `url`.
    pub(crate) fn shake_hands(
        &self,
        socket: Socket,
        url: &Url,
        until: &Until<'_>,
    ) -> Result<Box<dyn Transport>, ConnectError> {
        let name = match (&self.name, &url.host) {
            (Some(name), _) => name.clone(),
            (None, Host::V4(address)) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(*address))),
            (None, Host::V6(address)) => ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V6(*address))),
            // The dot of the root is no part of a certificate's names (RFC 6066, section 3).
            (None, Host::Name(name)) => ServerName::try_from(name.strip_suffix('.').unwrap_or(name).to_owned())
                .map_err(|_| ConnectError::Tls(TlsError::WrongName))?,
        };
        let stream = TlsStream::client(socket, self.config()?, name).map_err(ConnectError::from_io)?;
        loop {
            // Also while bytes come: they do not put off the deadline.
            let left = until.left(Stage::Tls)?;
            let interest = match stream.handshake() {
                Ok(Handshake::Done) => return Ok(Box::new(stream)),
                Ok(Handshake::Waits(interest)) => interest,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ConnectError::EndOfStream),
                Err(error) => return Err(ConnectError::from_io(error)),
            };
            match stream.socket().wait(interest, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(ConnectError::Io(error)),
                _ => {}
            }
        }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let mut unread = Vec::new();
        let made = kept(&self.config, |before| self.make(before.is_some(), &mut unread));
        // Without a lock: the program's log may connect, too.
        for error in unread {
            log::warn!("some of the system's root certificates cannot be read: {error}");
        }
        made.map(|made| made.value)
    }

    fn make(&self, again: bool, unread: &mut Vec<Unread>) -> Result<Kept<Arc<ClientConfig>>, ConnectError> {
        let mut until = None;
        let provider = Arc::new(ring::default_provider());
        let verifier = if self.verifies {
            Verifier::new(self.trusted(again, &mut until, unread)?, &provider)?
        } else {
            Verifier::of_anybody(&provider)
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::of_settings)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(TlsError::of_settings)?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Kept { value: Arc::new(config), until })
    }

    /// The roots, and until when they are to be used.
    fn trusted(
        &self,
        again: bool,
        until: &mut Option<Instant>,
        unread: &mut Vec<Unread>,
    ) -> Result<RootCertStore, ConnectError> {
        let mut roots = RootCertStore::empty();
        let mut failed = None;
        if self.system {
            // Certificates that a system has and that cannot be read are not trusted, and are no fault of the caller's.
            match system_roots(unread) {
                Ok(found) => {
                    roots.add_parsable_certificates(found.value.iter().cloned());
                    *until = found.until;
                }
                // What was made without them before stays, with its sessions.
                Err(error) if again => return Err(error),
                // Others may stand in for them.
                Err(error) => {
                    *until = Some(Instant::now() + AGAIN);
                    failed = Some(error);
                }
            }
            #[cfg(feature = "webpki-roots")]
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
        for root in &self.roots {
            roots.add(root.clone()).map_err(TlsError::of_settings)?;
        }
        if roots.is_empty() {
            return Err(failed.unwrap_or(ConnectError::Tls(TlsError::NoRoots)));
        }
        Ok(roots)
    }

    /// What was made with other settings does not hold any more.
    fn changed(self) -> Self {
        let config = Arc::<Made>::default();
        // Without an identity they are the same, with the same sessions.
        let config_for_others = if self.identity.is_none() { Arc::clone(&config) } else { Arc::default() };
        Self { config, config_for_others, ..self }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::Settings("there is no certificate".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::Settings(format!("there is no certificate: {error}"))),
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClientTls {
    // Without keys and certificates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("verifies", &self.verifies).finish_non_exhaustive()
    }
}
