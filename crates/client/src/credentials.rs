//! Who the client is: the value of Authorization (RFC 9110, section 11.6.2) and of Proxy-Authorization.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::url::{UrlError, percent_decode};

/// What the client shows of itself. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A user and a password (RFC 7617).
    Basic { user: Vec<u8>, password: Vec<u8> },
    /// A token (RFC 6750).
    Bearer(String),
}

impl Credentials {
    pub(crate) fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: user.into(), password: password.into() }
    }

    /// Parses `user:password` of a URL, percent-encoded.
    pub(crate) fn from_userinfo(text: &str) -> Result<Self, UrlError> {
        // RFC 3986, section 3.2.1.
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%".contains(&byte);
        if !text.bytes().all(may_stand) {
            return Err(UrlError::Userinfo);
        }
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |text| percent_decode(text).ok_or(UrlError::Percent);
        let credentials = Self::Basic { user: decode(user)?, password: decode(password)? };
        if credentials.value().is_none() { Err(UrlError::Userinfo) } else { Ok(credentials) }
    }

    /// The value of the header. `None`: they cannot be written as one.
    pub(crate) fn value(&self) -> Option<String> {
        match self {
            Self::Basic { user, password } => {
                let control = |byte: &u8| byte.is_ascii_control();
                if user.contains(&b':') || user.iter().chain(password).any(control) {
                    return None;
                }
                Some(format!("Basic {}", STANDARD.encode([user, &b":"[..], password].concat())))
            }
            Self::Bearer(token) => {
                // The form of section 2.1: letters, digits and some signs, then any number of `=`.
                let body = token.trim_end_matches('=');
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
                (!body.is_empty() && body.bytes().all(fits)).then(|| format!("Bearer {token}"))
            }
        }
    }

    /// User and password, where that is what they are.
    pub(crate) fn user_and_password(&self) -> Option<(&[u8], &[u8])> {
        match self {
            Self::Basic { user, password } => Some((user, password)),
            Self::Bearer(_) => None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
