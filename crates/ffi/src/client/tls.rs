//! How a client speaks TLS: whom it trusts, and who it says it is.

use std::ffi::c_char;

use raddle_client::{ClientTls, TlsError};

use crate::arguments;
use crate::client::{Client, set};
use crate::status::{Failure, Status};

/// Trusts certificates as roots, beside those of the system.
///
/// - `client`: the settings
/// - `pem`, `length`: one certificate or several, in PEM
///
/// Returns as raddle_client_max_message; RADDLE_ERR_TLS where there is no certificate. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_add_roots(client: *mut Client, pem: *const u8, length: usize) -> Status {
    change(client, |tls| Ok(tls.add_roots_pem(arguments::bytes(pem, length, "pem")?)?))
}

/// Trusts the certificates of a file as roots, as raddle_client_add_roots does.
///
/// - `client`: the settings
/// - `path`: the file's, which is read once, now
///
/// Returns as raddle_client_max_message; RADDLE_ERR_IO where it cannot be read, RADDLE_ERR_TLS where there is no
/// certificate in it. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_add_roots_file(client: *mut Client, path: *const c_char) -> Status {
    change(client, |tls| {
        let path = arguments::string(path, "path")?;
        let pem = std::fs::read(path)
            .map_err(|error| Failure::new(Status::RADDLE_ERR_IO, format!("path: {path}: {error}")))?;
        Ok(tls.add_roots_pem(pem)?)
    })
}

/// Trusts none of the system's roots: only those that were added.
///
/// - `client`: the settings
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_without_system_roots(client: *mut Client) -> Status {
    change(client, |tls| Ok(tls.without_system_roots()))
}

/// Shows a certificate to servers that ask for one.
///
/// - `client`: the settings
/// - `chain`, `chain_length`: the client's certificate first, in PEM
/// - `key`, `key_length`: its private key, in PEM
///
/// Returns as raddle_client_max_message; RADDLE_ERR_TLS where there is none. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_certificate(
    client: *mut Client,
    chain: *const u8,
    chain_length: usize,
    key: *const u8,
    key_length: usize,
) -> Status {
    change(client, |tls| {
        let chain = arguments::bytes(chain, chain_length, "chain")?;
        let key = arguments::bytes(key, key_length, "key")?;
        Ok(tls.certificate_pem(chain, key)?)
    })
}

/// Expects the server to be the one of this name or address, not of the URL's.
///
/// - `client`: the settings
/// - `name`: as "example.com" or "192.0.2.1"
///
/// Returns as raddle_client_max_message; RADDLE_ERR_TLS where it is no server's name. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_server_name(client: *mut Client, name: *const c_char) -> Status {
    change(client, |tls| Ok(tls.server_name(arguments::string(name, "name")?)?))
}

/// Takes any certificate for the server's: whoever is on the way can read and change everything. For tests.
///
/// - `client`: the settings
///
/// Returns as raddle_client_max_message. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_client_dangerous_accept_any_certificate(client: *mut Client) -> Status {
    change(client, |tls| Ok(tls.dangerous_accept_any_certificate()))
}

fn change(client: *mut Client, change: impl FnOnce(ClientTls) -> Result<ClientTls, Failure>) -> Status {
    set(client, |settings| {
        let tls = change(settings.tls.clone())?;
        settings.tls = tls.clone();
        settings.change(|client| client.tls(tls));
        Ok(())
    })
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::of(Status::RADDLE_ERR_TLS, &error)
    }
}
