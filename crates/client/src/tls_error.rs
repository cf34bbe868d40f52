//! Why TLS with a server has failed.

use std::error::Error;
use std::fmt;
use std::io;

use raddle_socket::rustls::{self, AlertDescription, CertificateError};

/// Why TLS with a server has failed. Nothing of the request was sent then, but for a server that refuses the client's certificate
/// in TLS 1.3: that is known only behind the handshake.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// What was set is malformed, or does not belong together.
    Settings(String),
    /// The system trusts no root, and none was added.
    NoRoots,
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid yet, or the clock is wrong.
    NotYetValid,
    /// The server's certificate is valid for other names.
    WrongName,
    /// The server's certificate is signed by itself, and was not added to the roots.
    SelfSigned,
    /// The server's certificate leads to no root that is trusted.
    UnknownIssuer,
    /// The server's certificate was revoked.
    Revoked,
    /// The server's certificate is malformed, made for something else, or signed in a way that is not safe.
    BadCertificate(CertificateError),
    /// The server wants a certificate of the client's, and has got none.
    CertificateRequired,
    /// The server does not take the client's certificate: its alert.
    CertificateRefused(AlertDescription),
    /// The server has no version of TLS, no cipher suite or no protocol in common with the client.
    NothingInCommon,
    /// What has answered does not speak TLS.
    NotTls,
    /// The server has given up for another reason: its alert.
    Alert(AlertDescription),
    /// The server has broken a rule of TLS.
    Protocol(rustls::Error),
}

impl TlsError {
    pub(crate) fn of_settings(error: impl fmt::Display) -> Self {
        Self::Settings(error.to_string())
    }

    /// What an error of a stream says of TLS. `None`: it is about something else.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<rustls::Error>().map(|error| error.clone().into())
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        use AlertDescription as Alert;
        match error {
            rustls::Error::InvalidCertificate(error) => error.into(),
            rustls::Error::AlertReceived(alert) => match alert {
                Alert::CertificateRequired => Self::CertificateRequired,
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied => Self::CertificateRefused(alert),
                Alert::HandshakeFailure
                | Alert::ProtocolVersion
                | Alert::InsufficientSecurity
                | Alert::NoApplicationProtocol => Self::NothingInCommon,
                alert => Self::Alert(alert),
            },
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::NothingInCommon,
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::NotTls,
            error => Self::Protocol(error),
        }
    }
}

impl From<CertificateError> for TlsError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Other(error) if error.0.is::<SelfSigned>() => Self::SelfSigned,
            error => Self::BadCertificate(error),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings(what) => return write!(f, "the settings of TLS are not in order: {what}"),
            Self::NoRoots => "there are no root certificates to trust",
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::WrongName => "the server's certificate is not valid for its name",
            Self::SelfSigned => "the server's certificate is self-signed",
            Self::UnknownIssuer => "the server's certificate is of an unknown issuer",
            Self::Revoked => "the server's certificate was revoked",
            Self::BadCertificate(error) => return write!(f, "the server's certificate cannot be used: {error:?}"),
            Self::CertificateRequired => "the server wants a certificate",
            Self::CertificateRefused(alert) => return write!(f, "the server refuses the certificate: {alert:?}"),
            Self::NothingInCommon => "the server has no version, cipher suite or protocol in common",
            Self::NotTls => "the server does not speak TLS",
            Self::Alert(alert) => return write!(f, "the server has given TLS up: {alert:?}"),
            Self::Protocol(error) => return write!(f, "TLS has failed: {error}"),
        })
    }
}

impl Error for TlsError {}

/// Says of a certificate that no other stands behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl Error for SelfSigned {}
