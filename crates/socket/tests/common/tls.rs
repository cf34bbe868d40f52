//! Both ends of a TLS session, and the certificates for it.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raddle_socket::rustls::crypto::ring::{self, cipher_suite};
use raddle_socket::rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use raddle_socket::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use raddle_socket::rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
};
use raddle_socket::{Handshake, Socket, TlsStream, Transport};

/// Settings of a server `localhost`, and of clients that trust it.
pub(crate) fn settings(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    settings_with(version, ring::default_provider())
}

/// The cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, whose keys are worn out after a few records.
pub(crate) fn with_worn_keys() -> CryptoProvider {
    let SupportedCipherSuite::Tls12(suite) = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 else {
        panic!("it is one of TLS 1.2")
    };
    let common = CipherSuiteCommon { confidentiality_limit: 8, ..suite.common };
    let worn: &'static Tls12CipherSuite = Box::leak(Box::new(Tls12CipherSuite { common, ..*suite }));
    CryptoProvider { cipher_suites: vec![worn.into()], ..ring::default_provider() }
}

/// The same with another cryptography.
pub(crate) fn settings_with(
    version: &'static SupportedProtocolVersion,
    provider: CryptoProvider,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it is a certificate");
    let provider = Arc::new(provider);
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("ring has it")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is the certificate's");
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("ring has it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// Both ends with the handshake behind them: the client, and the server.
pub(crate) fn tls_pair(version: &'static SupportedProtocolVersion) -> (TlsStream, TlsStream) {
    let (one, other) = super::tcp_pair();
    let (server, client) = settings(version);
    let server = TlsStream::server(Socket::tcp(other).expect("a socket"), server).expect("a server");
    let client = client_stream(one, client);
    shake_hands(&[&client, &server]);
    (client, server)
}

pub(crate) fn client_stream(stream: TcpStream, config: Arc<ClientConfig>) -> TlsStream {
    let name = "localhost".try_into().expect("a name");
    TlsStream::client(Socket::tcp(stream).expect("a socket"), config, name).expect("a client")
}

/// Has all of them done.
pub(crate) fn shake_hands(streams: &[&TlsStream]) {
    let deadline = Instant::now() + super::LIMIT;
    let mut left = streams.to_vec();
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "the handshake is not done");
        left.retain(|stream| match stream.handshake().expect("both play by the rules") {
            Handshake::Done => false,
            Handshake::Waits(interest) => {
                stream.wait(interest, Some(Duration::from_millis(1))).expect("it can be waited for");
                true
            }
        });
    }
}
