//! Where a server listens: addresses, paths and sockets in, listeners of a server that starts out.

use std::ffi::{c_char, c_int};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use raddle_server::{Builder, ServerTls};

use crate::arguments;
use crate::handles::{Handle as _, to_id};
use crate::server::config::{ServerConfig, set};
use crate::server::tls::ServerTlsHandle;
use crate::status::{Failure, Status};

/// Has the server listen on a TCP address, with a backlog of 1,024. May be called several times.
///
/// - `config`: the settings
/// - `host`: a name or an address, as "0.0.0.0", "::" or "localhost"
/// - `port`: the port; 0 lets the system choose one, and raddle_server_port says which
/// - `tls`: NULL for ws; for wss, from raddle_server_tls_new. It may be freed afterwards
///
/// The address is looked up and bound by raddle_server_new.
///
/// Returns as raddle_server_config_engine; RADDLE_ERR_TLS where a certificate is missing or not in order. One thread at a
/// time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_listen(
    config: *mut ServerConfig,
    host: *const c_char,
    port: u16,
    tls: *mut ServerTlsHandle,
) -> Status {
    set(config, |config| {
        let host = arguments::string(host, "host")?.to_owned();
        let tls = settings(tls)?;
        config.places.push(Place::Tcp { host, port, tls });
        Ok(())
    })
}

/// Has the server listen on a Unix socket, whose permissions the process's umask decides. A socket that nobody listens to
/// any more is replaced; the file is removed when the server has stopped. May be called several times.
///
/// - `config`: the settings
/// - `path`: where the socket is
///
/// The socket is made by raddle_server_new.
///
/// Returns as raddle_server_config_engine. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_listen_unix(config: *mut ServerConfig, path: *const c_char) -> Status {
    set(config, |config| {
        config.places.push(Place::Unix(arguments::string(path, "path")?.into()));
        Ok(())
    })
}

/// Has the server listen on a TCP or Unix socket that is bound already: from a service manager, or with options of its own.
///
/// - `config`: the settings
/// - `fd`: the socket, which is duplicated, and stays the program's
/// - `tls`: NULL, or the TLS that clients of a TCP socket speak, as with raddle_server_config_listen
///
/// Returns as raddle_server_config_listen; RADDLE_ERR_IO where it is no open descriptor. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_listen_fd(
    config: *mut ServerConfig,
    fd: c_int,
    tls: *mut ServerTlsHandle,
) -> Status {
    set(config, |config| {
        let socket = arguments::descriptor(fd, "fd")?;
        let tls = settings(tls)?;
        config.places.push(Place::Socket { socket, tls });
        Ok(())
    })
}

/// Has the server listen on the sockets that the process was started with, as systemd's socket activation passes them
/// (LISTEN_FDS). The first raddle_server_new with such settings gets them all.
///
/// - `config`: the settings
/// - `tls`: NULL, or the TLS that clients of TCP sockets speak, as with raddle_server_config_listen
///
/// Returns as raddle_server_config_listen. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_listen_inherited(
    config: *mut ServerConfig,
    tls: *mut ServerTlsHandle,
) -> Status {
    set(config, |config| {
        let tls = settings(tls)?;
        config.places.push(Place::Inherited(tls));
        Ok(())
    })
}

/// Where a server listens.
pub(crate) enum Place {
    Tcp { host: String, port: u16, tls: Option<ServerTls> },
    Unix(PathBuf),
    Socket { socket: OwnedFd, tls: Option<ServerTls> },
    Inherited(Option<ServerTls>),
}

impl Place {
    /// Has a server listen there.
    pub(crate) fn add_to(&self, builder: Builder) -> io::Result<Builder> {
        match self {
            Self::Tcp { host, port, tls: None } => builder.bind((host.as_str(), *port)),
            Self::Tcp { host, port, tls: Some(tls) } => builder.bind_tls((host.as_str(), *port), tls),
            Self::Unix(path) => builder.bind_unix(path),
            Self::Socket { socket, tls } => {
                let listener = TcpListener::from(socket.try_clone()?);
                match (listener.local_addr(), tls) {
                    (Ok(_), None) => builder.tcp_listener(listener),
                    (Ok(_), Some(tls)) => builder.tcp_listener_tls(listener, tls),
                    (Err(_), _) => builder.unix_listener(UnixListener::from(OwnedFd::from(listener))),
                }
            }
            Self::Inherited(None) => builder.inherited_listeners(),
            Self::Inherited(Some(tls)) => builder.inherited_listeners_tls(tls),
        }
    }

    /// Its name, for the text of an error.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
            Self::Unix(path) => path.display().to_string(),
            Self::Socket { .. } => "a socket of the program's".into(),
            Self::Inherited(_) => "inherited sockets".into(),
        }
    }
}

/// The TLS of a handle; `None`: NULL.
fn settings(tls: *mut ServerTlsHandle) -> Result<Option<ServerTls>, Failure> {
    if tls.is_null() {
        return Ok(None);
    }
    ServerTlsHandle::table().use_alone(to_id(tls), |setup| setup.get()).map(Some)
}
