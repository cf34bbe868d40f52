//! TLS of a server: certificates and keys in PEM in, settings that can be replaced while connections go on out.

use std::ffi::c_char;
use std::io;
use std::path::PathBuf;

use raddle_server::{ClientCertificates, ServerTls, ServerTlsBuilder};

use crate::arguments;
use crate::guard::{Depth, guard, trip};
use crate::handles::{Handle, Kind, Table, to_id, to_pointer};
use crate::status::{Failure, Status};

/// The TLS of a server: TLS 1.2 and 1.3. See raddle_server_tls_new.
pub struct ServerTlsHandle {
    _opaque: (),
}

/// Clients that have a certificate show it. One that is not in order ends the handshake all the same.
pub const RADDLE_CLIENT_CERTIFICATE_OPTIONAL: u32 = 1;
/// Without a client's certificate the handshake fails.
pub const RADDLE_CLIENT_CERTIFICATE_REQUIRED: u32 = 2;

/// Makes the TLS of a server, which needs a certificate before a server can listen with it.
///
/// - `tls`: a place for the handle; it is freed with raddle_server_tls_free, and may be needed for
///   raddle_server_tls_reload until then
///
/// Returns RADDLE_OK. From any thread; used by one at a time: others get RADDLE_ERR_BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_new(tls: *mut *mut ServerTlsHandle) -> Status {
    guard(|| {
        let place = arguments::out(tls, "tls")?;
        place.put(to_pointer(ServerTlsHandle::table().insert(Setup::default())?));
        Ok(())
    })
}

/// Frees the TLS of a server. Servers that listen with it go on.
///
/// - `tls`: the handle; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_free(tls: *mut ServerTlsHandle) -> Status {
    guard(|| {
        if !tls.is_null() {
            drop(ServerTlsHandle::table().take(to_id(tls))?);
        }
        Ok(())
    })
}

/// Adds a certificate chain, the server's own first, and its private key, from two PEM files.
///
/// - `tls`: the handle
/// - `chain`, `key`: the paths of the files
///
/// May be called several times: a client gets the first that is valid for the name that it asks for (SNI), else the
/// first. Returns RADDLE_OK; RADDLE_ERR_STATE where a server listens with it already. The files are read when one does.
/// One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_certificate_files(
    tls: *mut ServerTlsHandle,
    chain: *const c_char,
    key: *const c_char,
) -> Status {
    change(tls, |builder| {
        let chain = PathBuf::from(arguments::string(chain, "chain")?);
        let key = PathBuf::from(arguments::string(key, "key")?);
        Ok(builder.certificate_files(chain, key))
    })
}

/// Adds a certificate chain and its private key, of bytes in PEM.
///
/// - `tls`: the handle
/// - `chain`, `chain_length`: the chain
/// - `key`, `key_length`: the key
///
/// Returns as raddle_server_tls_certificate_files. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_certificate_pem(
    tls: *mut ServerTlsHandle,
    chain: *const u8,
    chain_length: usize,
    key: *const u8,
    key_length: usize,
) -> Status {
    change(tls, |builder| {
        let chain = arguments::bytes(chain, chain_length, "chain")?;
        let key = arguments::bytes(key, key_length, "key")?;
        Ok(builder.certificate_pem(chain, key))
    })
}

/// Asks clients for a certificate that leads to one of the roots in a PEM file. raddle_request_client_name says whose it is.
///
/// - `tls`: the handle
/// - `mode`: RADDLE_CLIENT_CERTIFICATE_OPTIONAL or RADDLE_CLIENT_CERTIFICATE_REQUIRED
/// - `roots`: the path of the file
///
/// Returns as raddle_server_tls_certificate_files. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_client_certificates(
    tls: *mut ServerTlsHandle,
    mode: u32,
    roots: *const c_char,
) -> Status {
    change(tls, |builder| {
        let roots = arguments::string(roots, "roots")?;
        Ok(builder.client_certificate_file(mode_of(mode)?, roots))
    })
}

/// As raddle_server_tls_client_certificates, with roots of bytes in PEM.
///
/// - `tls`, `mode`: as there
/// - `roots`, `length`: the roots
///
/// Returns as raddle_server_tls_certificate_files. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_client_certificates_pem(
    tls: *mut ServerTlsHandle,
    mode: u32,
    roots: *const u8,
    length: usize,
) -> Status {
    change(tls, |builder| {
        let roots = arguments::bytes(roots, length, "roots")?;
        Ok(builder.client_certificate_pem(mode_of(mode)?, roots))
    })
}

/// Has new connections get what another handle was set up with, where no server listens with that one; those that are there go
/// on. raddle_server_tls_reload reads the files of the new ones then.
///
/// - `tls`: the handle, with which a server listens
/// - `by`: the other, which stays as it is, and can be freed
///
/// Returns as raddle_server_tls_reload; RADDLE_ERR_STATE also where a server listens with the other. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_replace(tls: *mut ServerTlsHandle, by: *mut ServerTlsHandle) -> Status {
    guard(|| {
        let builder = ServerTlsHandle::table().use_alone(to_id(by), |setup| match setup.made {
            Some(_) => Err(Failure::state("a server listens with the other handle")),
            None => Ok(setup.builder.clone()),
        })?;
        made(tls, |made| made.replace(builder))
    })
}

/// Reads the files again. New connections get what is in them; those that are there go on.
///
/// - `tls`: the handle, with which a server listens
///
/// Returns RADDLE_OK; RADDLE_ERR_TLS where something is not in order: then all stays as it is; RADDLE_ERR_STATE where no
/// server listens with it. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_tls_reload(tls: *mut ServerTlsHandle) -> Status {
    guard(|| made(tls, ServerTls::reload))
}

/// What a handle names.
#[derive(Default)]
pub(crate) struct Setup {
    builder: ServerTlsBuilder,
    made: Option<ServerTls>,
}

impl Setup {
    /// The settings, which are made when they are first asked for.
    pub(crate) fn get(&mut self) -> Result<ServerTls, Failure> {
        if let Some(made) = &self.made {
            return Ok(made.clone());
        }
        let made = self.builder.clone().build().map_err(|error| Failure::of(Status::RADDLE_ERR_TLS, &error))?;
        Ok(self.made.insert(made).clone())
    }
}

impl Handle for ServerTlsHandle {
    type Value = Setup;

    fn table() -> &'static Table<Setup> {
        static TABLE: Table<Setup> = Table::new(Kind::ServerTls);
        &TABLE
    }
}

fn mode_of(number: u32) -> Result<ClientCertificates, Failure> {
    let modes = [
        (RADDLE_CLIENT_CERTIFICATE_OPTIONAL, ClientCertificates::Optional),
        (RADDLE_CLIENT_CERTIFICATE_REQUIRED, ClientCertificates::Required),
    ];
    arguments::one_of(number, &modes, "mode")
}

/// Changes what a server listens with.
fn made(tls: *mut ServerTlsHandle, change: impl FnOnce(&ServerTls) -> io::Result<()>) -> Result<(), Failure> {
    ServerTlsHandle::table().use_alone(to_id(tls), |setup| match &setup.made {
        Some(made) => change(made).map_err(|error| Failure::of(Status::RADDLE_ERR_TLS, &error)),
        None => Err(Failure::state("no server listens with it yet")),
    })
}

fn change(
    tls: *mut ServerTlsHandle,
    change: impl FnOnce(ServerTlsBuilder) -> Result<ServerTlsBuilder, Failure>,
) -> Status {
    guard(|| {
        ServerTlsHandle::table().use_alone(to_id(tls), |setup| {
            trip(Depth::Handle);
            if setup.made.is_some() {
                return Err(Failure::state("a server listens with it already"));
            }
            setup.builder = change(setup.builder.clone())?;
            Ok(())
        })
    })
}
