//! Certificates for tests, and who issues them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ED25519, date_time_ymd};

/// Issues certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_key(name, key())
    }

    /// One whose key is of another kind than that of [`new`](Self::new).
    pub(crate) fn of_another_kind(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can sign");
        Self { issuer }
    }

    /// Its own certificate, in PEM: a root for those who trust it.
    pub(crate) fn root(&self) -> String {
        self.issuer.pem()
    }

    /// What it signs with, as if it were a server's.
    pub(crate) fn of_its_own(&self) -> Issued {
        Issued { chain: self.root(), key: self.issuer.key().serialize_pem() }
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| ())
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = key();
        let mut params = params(names, "somebody");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("it can sign");
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A certificate for `localhost` and the loopback addresses.
    pub(crate) fn local(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1", "::1"])
    }
}

/// A certificate that nobody else has signed.
pub(crate) fn self_signed(names: &[&str]) -> Issued {
    let key = key();
    let certificate = params(names, "itself").self_signed(&key).expect("it can sign");
    Issued { chain: certificate.pem(), key: key.serialize_pem() }
}

/// Not valid any more.
pub(crate) fn expired(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
}

/// Not valid yet.
pub(crate) fn to_come(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2901, 1, 1), date_time_ymd(2902, 1, 1));
}

/// Says who it is by the common name of its subject.
pub(crate) fn named(name: &str) -> impl FnOnce(&mut CertificateParams) {
    let name = name.to_owned();
    move |params| params.distinguished_name.push(DnType::CommonName, name)
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("they are names");
    named(common_name)(&mut params);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
