//! TLS of the measurements: one certificate for all servers, and clients that ask for TLS 1.3 with AES-128-GCM.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::peers::provision;

/// What a server has of the certificate in `folder`.
pub fn server(folder: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = vec![certificate(folder)?];
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().map(|builder| builder.with_no_client_auth());
    let config = config.and_then(|builder| builder.with_single_cert(chain, key)).map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// A client that trusts that certificate.
pub fn client() -> io::Result<ClientConnection> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = match CONFIG.get() {
        Some(config) => config,
        None => {
            let folder = provision::certificate().map_err(io::Error::other)?;
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&folder)?).map_err(io::Error::other)?;
            let cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
            let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
            let builder = ClientConfig::builder_with_provider(Arc::new(provider));
            let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
            CONFIG.get_or_init(|| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
        }
    };
    let name = "localhost".try_into().expect("a name");
    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)
}

/// The first thing that a client sends.
pub fn hello() -> io::Result<Vec<u8>> {
    let (mut client, mut hello) = (client()?, Vec::new());
    while client.wants_write() {
        client.write_tls(&mut hello)?;
    }
    Ok(hello)
}

fn certificate(folder: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(folder.join(CHAIN)).map_err(io::Error::other)
}

/// Files of the certificate's folder.
pub const CHAIN: &str = "chain.pem";
pub const KEY: &str = "key.pem";
