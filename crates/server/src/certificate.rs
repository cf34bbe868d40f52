//! The certificate that a client has shown, and who that says it is.

use std::fmt;

use raddle_socket::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A client's certificate (RFC 5280), which leads to one of the roots that the server trusts.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    der: CertificateDer<'static>,
    subject: Box<[u8]>,
}

impl ClientCertificate {
    pub(crate) fn new(der: CertificateDer<'static>) -> Self {
        let subject = EndEntityCert::try_from(&der).map_or_else(|_| Box::default(), |it| it.subject().into());
        Self { der, subject }
    }

    /// All of it, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its subject, in DER without the outermost tag and length: the same for all certificates of one owner.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The common name of its subject, where that has one in UTF-8 or ASCII; of several, the last, which is the most specific: `None`
    /// where that is in another encoding. Who trusts several authorities has to see to it that none gives a name that another
    /// gives too.
    pub fn common_name(&self) -> Option<&str> {
        let mut names = self.subject();
        let mut found = None;
        while let Some((SET, mut set, rest)) = element(names) {
            names = rest;
            while let Some((SEQUENCE, attribute, others)) = element(set) {
                set = others;
                let (_, kind, value) = element(attribute)?;
                if kind == COMMON_NAME {
                    found = match element(value) {
                        Some((UTF8 | PRINTABLE | IA5, text, [])) => std::str::from_utf8(text).ok(),
                        // Another, before it, would be somebody else's.
                        _ => None,
                    };
                }
            }
        }
        found
    }

    /// The DNS names that it is valid for.
    pub fn dns_names(&self) -> Vec<String> {
        let parsed = EndEntityCert::try_from(&self.der);
        parsed.map_or(Vec::new(), |it| it.valid_dns_names().map(str::to_owned).collect())
    }
}

impl fmt::Debug for ClientCertificate {
    // Whose it is may be nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// The first element in DER: its tag, its content, and what follows it. `None`: it is malformed, or there is none.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = match bytes {
        [tag, length @ 0..=0x7f, rest @ ..] => (tag, usize::from(*length), rest),
        [tag, 0x81, length @ 0x80..=0xff, rest @ ..] => (tag, usize::from(*length), rest),
        [tag, 0x82, high @ 1..=0xff, low, rest @ ..] => (tag, usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate whose subject has these common names, each with the tag of its encoding.
    fn named(names: &[(u8, &[u8])]) -> ClientCertificate {
        let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).expect("short")], content].concat();
        let attribute = |(tag, text): &(u8, &[u8])| {
            let attribute = [wrap(6, COMMON_NAME), wrap(*tag, text)].concat();
            wrap(SET, &wrap(SEQUENCE, &attribute))
        };
        let subject: Vec<u8> = names.iter().flat_map(attribute).collect();
        ClientCertificate { der: CertificateDer::from(Vec::new()), subject: subject.into() }
    }

    #[test]
    fn the_last_common_name_counts_also_where_it_cannot_be_read() {
        const BMP: u8 = 0x1e;
        for (names, expected) in [
            (&[][..], None),
            (&[(UTF8, &b"ada"[..])], Some("ada")),
            (&[(UTF8, b"admin"), (PRINTABLE, b"ada")], Some("ada")),
            (&[(UTF8, b"admin"), (BMP, b"\0m\0a\0l")], None),
            (&[(UTF8, b"admin"), (UTF8, b"\xff")], None),
            (&[(BMP, b"\0m\0a\0l"), (IA5, b"ada")], Some("ada")),
        ] {
            assert_eq!(named(names).common_name(), expected, "{names:?}");
        }
    }
}
