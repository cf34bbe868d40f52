//! Whose certificate is taken for the server's.

use std::sync::Arc;

use raddle_socket::rustls::client::WebPkiServerVerifier;
use raddle_socket::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use raddle_socket::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use raddle_socket::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use raddle_socket::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use webpki::EndEntityCert;

use crate::tls_error::{SelfSigned, TlsError};

/// Says whether a certificate is the server's. Whatever is taken, what the server signs with its key is always verified.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// `None`: any certificate is taken.
    roots: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Takes a certificate that leads to a root and is valid for the server's name; tells a self-signed one from others.
    pub(crate) fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let roots = builder.build().map_err(TlsError::of_settings)?;
        Ok(Self { roots: Some(roots), ..Self::of_anybody(provider) })
    }

    /// Takes any.
    pub(crate) fn of_anybody(provider: &CryptoProvider) -> Self {
        Self { roots: None, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let verified = roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            let error = match error {
                // A root has the issuer's name and a key of another kind: it is another one's. What the server signs itself may be
                // in a way that its key is not for, too: that is not about who has issued it.
                Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                    ..
                }) => CertificateError::UnknownIssuer.into(),
                error => error,
            };
            let is_strange = match &error {
                // A root of that name may be known, and have another key.
                Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => true,
                // It is made to be a root.
                Error::InvalidCertificate(CertificateError::Other(other)) => {
                    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
                }
                _ => false,
            };
            let is_its_own = || EndEntityCert::try_from(end_entity).is_ok_and(|it| it.issuer() == it.subject());
            if is_strange && is_its_own() {
                CertificateError::Other(OtherError(Arc::new(SelfSigned))).into()
            } else {
                error
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
