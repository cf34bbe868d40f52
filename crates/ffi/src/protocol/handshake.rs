//! The opening handshake: protocol objects, decisions on requests, and what the peer has said.

use std::ffi::c_char;

use raddle_core::Role;
use raddle_core::handshake::Response;

use super::endpoint::Endpoint;
use super::opening::Peer;
use super::settings::Settings;
use super::{Protocol, ProtocolConfig, with};
use crate::arguments::{self, Out, TextOut};
use crate::guard::guard;
use crate::handles::{self, Handle};
use crate::status::{Failure, Status};

/// Makes the server's side of a connection that a client was just accepted on.
///
/// - `config`: of the role RADDLE_SERVER, whose settings are copied; NULL for the defaults
/// - `protocol`: where the handle is put, to be freed with raddle_protocol_free
///
/// Returns RADDLE_OK, or RADDLE_ERR_STATE for a configuration of the other role. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_server(config: *const ProtocolConfig, protocol: *mut *mut Protocol) -> Status {
    guard(|| {
        let place = arguments::out(protocol, "protocol")?;
        give(&place, Endpoint::server(settings(config, Role::Server)?))
    })
}

/// Makes the client's side of a connection that was just connected to a server, with its request to be written first.
///
/// - `config`: of the role RADDLE_CLIENT, whose settings are copied; NULL for the defaults
/// - `host`: the server's name or address, with its port where that is not the default, as "example.com:8080"
/// - `target`: path and query, with a "/" at the beginning
/// - `key`: 16 random bytes, fresh for each connection, for Sec-WebSocket-Key; NULL has the operating system's generator asked
/// - `protocol`: where the handle is put, to be freed with raddle_protocol_free
///
/// Returns RADDLE_OK, RADDLE_ERR_ARGUMENT where something may not be sent, RADDLE_ERR_UTF8, RADDLE_ERR_IO without a
/// random number, or RADDLE_ERR_STATE for a configuration of the other role. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_client(
    config: *const ProtocolConfig,
    host: *const c_char,
    target: *const c_char,
    key: *const u8,
    protocol: *mut *mut Protocol,
) -> Status {
    guard(|| {
        let place = arguments::out(protocol, "protocol")?;
        let (host, target) = (arguments::string(host, "host")?, arguments::string(target, "target")?);
        let mut random = [0; 16];
        if key.is_null() {
            getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        } else {
            random.copy_from_slice(arguments::bytes(key, 16, "key")?);
        }
        give(&place, Endpoint::client(settings(config, Role::Client)?, host, target, random)?)
    })
}

/// Accepts the request that waits, as raddle_protocol_config_requests_as_events has it. Space of raddle_protocol_space is not
/// valid any more: what was read into it has to be noted before.
///
/// - `protocol`: the object
/// - `subprotocol`: one of those that the client has offered; NULL for none
///
/// Returns RADDLE_OK; raddle_protocol_next goes on with RADDLE_OPENED. RADDLE_ERR_STATE where no request waits, or it
/// is no opening handshake, RADDLE_ERR_ARGUMENT where the subprotocol was not offered, or a header may not be sent: it
/// still waits then. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_accept(protocol: *mut Protocol, subprotocol: *const c_char) -> Status {
    with(protocol, |endpoint| {
        let subprotocol = arguments::optional_string(subprotocol, "subprotocol")?;
        Ok(endpoint.accept(subprotocol)?)
    })
}

/// Answers the request that waits over HTTP, and ends the connection: a refusal, or a page. Space of raddle_protocol_space is
/// not valid any more.
///
/// - `protocol`: the object
/// - `status`: 200 to 599
/// - `content_type`: of the body, as "text/plain; charset=utf-8"; NULL for none
/// - `body`, `length`: the body, which is copied
///
/// Returns RADDLE_OK, RADDLE_ERR_STATE where no request waits, or RADDLE_ERR_ARGUMENT. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_respond(
    protocol: *mut Protocol,
    status: u32,
    content_type: *const c_char,
    body: *const u8,
    length: usize,
) -> Status {
    with(protocol, |endpoint| {
        let mut response = Response::new(u16::try_from(status).unwrap_or(0))?;
        if let Some(content_type) = arguments::optional_string(content_type, "content_type")? {
            response = response.header("Content-Type", content_type)?;
        }
        let response = response.body(arguments::bytes(body, length, "body")?);
        Ok(endpoint.answer(&response)?)
    })
}

/// Gives the path and query that a client has asked for, as it has sent them. While a request waits, and until the call of
/// raddle_protocol_next that follows RADDLE_OPENED.
///
/// - `protocol`: the object
/// - `buffer`, `size`: where the text is put, with a NUL at its end
/// - `length`: where its bytes are put, without the NUL; may be NULL
///
/// Returns RADDLE_OK; RADDLE_ERR_BUFFER where `size` is too small; RADDLE_ERR_STATE at another time, or for a client.
/// One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_target(
    protocol: *mut Protocol,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let place = TextOut::new(buffer, size, length)?;
        match peer(endpoint)? {
            Peer::Client(request) => place.put(request.target()),
            Peer::Server { .. } => Err(Failure::state("a server asks for no target")),
        }
    })
}

/// Gives the status of the server's response: 101 where it has opened the connection. Until the call of raddle_protocol_next that
/// follows RADDLE_OPENED, or after RADDLE_ERR_HANDSHAKE where the server has refused.
///
/// - `protocol`: the object
/// - `status`: where the status is put
///
/// Returns RADDLE_OK, or RADDLE_ERR_STATE at another time, or for a server. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_response_status(protocol: *mut Protocol, status: *mut u32) -> Status {
    with(protocol, |endpoint| {
        let place = arguments::out(status, "status")?;
        match peer(endpoint)? {
            Peer::Server { status, .. } => place.put((*status).into()),
            Peer::Client(_) => return Err(Failure::state("a client gives no status")),
        }
        Ok(())
    })
}

/// Gives the value of the first header of a name that the peer has sent, of the request for a server, of the response for a
/// client. At the times of raddle_protocol_target and raddle_protocol_response_status.
///
/// - `protocol`: the object
/// - `name`: in any case
/// - `buffer`, `size`, `length`: as with raddle_protocol_target; the value may have any bytes but control characters
///
/// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where there is none; RADDLE_ERR_BUFFER; RADDLE_ERR_STATE at another time.
/// One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_header(
    protocol: *mut Protocol,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let (name, place) = (arguments::string(name, "name")?, TextOut::new(buffer, size, length)?);
        place.put(peer(endpoint)?.header(name).ok_or_else(no_header)?)
    })
}

/// Gives a header that the peer has sent by its place, as "name: value". At the times of raddle_protocol_header.
///
/// - `protocol`: the object
/// - `index`: the place, from 0 on
/// - `buffer`, `size`, `length`: as with raddle_protocol_header
///
/// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND behind the last one; RADDLE_ERR_BUFFER; RADDLE_ERR_STATE at another time.
/// One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_header_at(
    protocol: *mut Protocol,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let place = TextOut::new(buffer, size, length)?;
        let (name, value) = peer(endpoint)?.header_at(index).ok_or_else(no_header)?;
        place.put([name.as_bytes(), b": ", value].concat())
    })
}

/// Gives the subprotocol that was agreed on, once the connection is open.
///
/// - `protocol`: the object
/// - `buffer`, `size`, `length`: as with raddle_protocol_target
///
/// Returns RADDLE_OK; RADDLE_ERR_NOT_FOUND where there is none; RADDLE_ERR_BUFFER. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_protocol_subprotocol(
    protocol: *mut Protocol,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    with(protocol, |endpoint| {
        let place = TextOut::new(buffer, size, length)?;
        let agreed = endpoint.agreement.subprotocol.as_deref();
        place.put(agreed.ok_or_else(|| Failure::new(Status::RADDLE_ERR_NOT_FOUND, "no subprotocol was agreed on"))?)
    })
}

fn settings(config: *const ProtocolConfig, role: Role) -> Result<Settings, Failure> {
    if config.is_null() {
        return Ok(Settings::new(role));
    }
    let settings = ProtocolConfig::table().find(handles::to_id(config), Settings::clone)?;
    if settings.role != role {
        return Err(Failure::state("the configuration is of the other role"));
    }
    Ok(settings)
}

fn give(place: &Out<*mut Protocol>, endpoint: Endpoint) -> Result<(), Failure> {
    place.put(handles::to_pointer(Protocol::table().insert(Box::new(endpoint))?));
    Ok(())
}

fn peer(endpoint: &Endpoint) -> Result<&Peer, Failure> {
    endpoint
        .peer
        .as_ref()
        .ok_or_else(|| Failure::state("what the peer has said in its opening handshake is not there now"))
}

fn no_header() -> Failure {
    Failure::new(Status::RADDLE_ERR_NOT_FOUND, "there is no such header")
}
