//! The decision on a request, and what it is made by.

use std::ffi::{c_char, c_void};

use raddle_server::Response;

use crate::arguments::{self, TextOut};
use crate::connection::info::not_found;
use crate::guard::{Depth, guard, trip};
use crate::handles::{Handle as _, to_id};
use crate::message::Connection;
use crate::server::requests::{Pending, RequestHandle};
use crate::status::{Failure, Status};
use crate::user::{Destroy, User};

/// Opens the connection, as what was said of the request before asks for. The handle names nothing afterwards, whatever is
/// returned.
///
/// - `request`: the request
///
/// Returns RADDLE_OK; RADDLE_ERR_TIMEOUT: the handshake timeout is over; RADDLE_ERR_LIMIT: the identity has all the
/// connections it may have, and the client got 409 or Close 4409; RADDLE_ERR_HANDSHAKE: the request is no opening handshake,
/// or not a valid one, and was answered; RADDLE_ERR_ARGUMENT: a subprotocol that the client has not offered, or a header of
/// the handshake's own, and the client got 500. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_accept(request: *mut RequestHandle) -> Status {
    guard(|| take(request)?.accept())
}

/// Opens the connection as raddle_request_accept does, and gives it to the caller: for requests of
/// raddle_server_next_request. The handle names nothing afterwards, whatever is returned.
///
/// - `request`: the request
/// - `conn`: a place for the connection; it is freed with raddle_conn_free
///
/// Returns as raddle_request_accept, and RADDLE_ERR_IO where the connection could not be opened. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_open(request: *mut RequestHandle, conn: *mut Connection) -> Status {
    guard(|| {
        let place = arguments::out(conn, "conn")?;
        place.put(take(request)?.open()?);
        Ok(())
    })
}

/// Refuses the request with a short text of the library's. The handle names nothing afterwards.
///
/// - `request`: the request
/// - `status`: 400 to 599
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another status: then the request is as it was; RADDLE_ERR_TIMEOUT: the
/// handshake timeout is over. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_refuse(request: *mut RequestHandle, status: u16) -> Status {
    guard(|| {
        if !(400..=599).contains(&status) {
            return Err(Failure::argument("status: a refusal has 400 to 599"));
        }
        take(request)?.respond(Response::refusal(status))
    })
}

/// Answers the request as HTTP does, and ends the connection: a page, a health check, a refusal in the program's words. The
/// headers of raddle_request_add_header go with it. The handle names nothing afterwards.
///
/// - `request`: the request
/// - `status`: 200 to 599
/// - `content_type`: NULL, or the type of the body, as "text/html; charset=utf-8"
/// - `body`, `length`: the body
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT for another status or a malformed type: then the request is as it was;
/// RADDLE_ERR_TIMEOUT: the handshake timeout is over. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_respond(
    request: *mut RequestHandle,
    status: u16,
    content_type: *const c_char,
    body: *const u8,
    length: usize,
) -> Status {
    guard(|| {
        let body = arguments::bytes(body, length, "body")?;
        let content_type = arguments::optional_string(content_type, "content_type")?;
        let invalid = |error| Failure::of(Status::RADDLE_ERR_ARGUMENT, &error);
        let mut response = Response::new(status).map_err(invalid)?;
        if let Some(value) = content_type {
            response = response.header("Content-Type", value).map_err(invalid)?;
        }
        take(request)?.respond(response.body(body))
    })
}

/// Keeps a request beyond the callback that has got it: it is decided on later, from any thread, within the handshake
/// timeout. The handle is there until it is decided on or freed. Requests of engine queue are always kept.
///
/// - `request`: the request
///
/// Returns RADDLE_OK. Within the callback.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_keep(request: *mut RequestHandle) -> Status {
    edit(request, |pending| {
        pending.is_kept = true;
        Ok(())
    })
}

/// Frees a request. One that was not decided on is answered with 500.
///
/// - `request`: the request; NULL is passed over
///
/// Returns RADDLE_OK, or RADDLE_ERR_HANDLE where it was decided on or freed before. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_free(request: *mut RequestHandle) -> Status {
    guard(|| {
        if !request.is_null() {
            drop(take(request)?);
        }
        Ok(())
    })
}

/// Chooses the subprotocol. Default: the first of the client's that the server supports.
///
/// - `request`: the request
/// - `name`: one that the client has offered; NULL for none
///
/// Returns RADDLE_OK. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_set_subprotocol(request: *mut RequestHandle, name: *const c_char) -> Status {
    edit(request, |pending| {
        pending.subprotocol = Some(arguments::optional_string(name, "name")?.map(str::to_owned));
        Ok(())
    })
}

/// Says who the client is, by its token, cookie or user id: raddle_server_config_identity_policy counts by that.
///
/// - `request`: the request
/// - `identity`: any text that is not empty
///
/// Returns RADDLE_OK. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_set_identity(request: *mut RequestHandle, identity: *const c_char) -> Status {
    edit(request, |pending| {
        let identity = arguments::string(identity, "identity")?;
        if identity.is_empty() {
            return Err(Failure::argument("identity: empty"));
        }
        pending.identity = Some(identity.to_owned());
        Ok(())
    })
}

/// Adds a header to the response, as Set-Cookie. The handshake's own cannot be set.
///
/// - `request`: the request
/// - `name`, `value`: the header
///
/// Returns RADDLE_OK; RADDLE_ERR_ARGUMENT where something in it may not stand in a header. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_add_header(
    request: *mut RequestHandle,
    name: *const c_char,
    value: *const c_char,
) -> Status {
    edit(request, |pending| {
        let name = arguments::string(name, "name")?;
        let value = arguments::string(value, "value")?;
        let scratch = Response::new(200).and_then(|response| response.header(name, value));
        scratch.map_err(|error| Failure::of(Status::RADDLE_ERR_ARGUMENT, &error))?;
        pending.headers.push((name.to_owned(), value.into()));
        Ok(())
    })
}

/// Gives the connection a pointer of the program's, as raddle_conn_set_user does, before its first event.
///
/// - `request`: the request
/// - `user`, `destroy`: as with raddle_conn_set_user; destroyed where the connection is not opened as well
///
/// Returns RADDLE_OK. With any other status the pointer stays the program's. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_set_user(request: *mut RequestHandle, user: *mut c_void, destroy: Destroy) -> Status {
    let mut before = None;
    let status = edit(request, |pending| {
        before = pending.user.replace(User::new(user, destroy));
        Ok(())
    });
    drop(before);
    status
}

/// Tells whether the client asks for a WebSocket. Otherwise raddle_request_respond can answer it only.
///
/// - `request`: the request
/// - `is_websocket`: a place for 1 or 0
///
/// Returns RADDLE_OK. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_is_websocket(request: *mut RequestHandle, is_websocket: *mut u32) -> Status {
    edit(request, |pending| {
        arguments::out(is_websocket, "is_websocket")?.put(u32::from(pending.request.is_websocket()));
        Ok(())
    })
}

/// Gives the whole head of the request by one call: its first line and its headers, each with CR LF behind it, as "GET
/// /chat?room=1 HTTP/1.1", "Host: example.com".
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target. The values of headers are bytes, and may not be UTF-8
///
/// Returns as raddle_conn_target. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_head(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        let mut head = format!("GET {} HTTP/1.1\r\n", pending.request.target()).into_bytes();
        for (name, value) in pending.request.head().headers() {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        place.put(head)
    })
}

/// Gives the path and query that the client asks for, as it has sent them.
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_target(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| place.put(pending.request.target()))
}

/// Gives the path that the client asks for: the target up to its "?".
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_path(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| place.put(pending.request.path()))
}

/// Gives the client's address, as raddle_conn_peer.
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_peer. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_peer(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        place.put(pending.request.peer().ok_or_else(|| not_found("the client has no address"))?.to_string())
    })
}

/// Gives the value of the first header of a name.
///
/// - `request`: the request
/// - `name`: the header's name, in any case
/// - `buffer`, `size`, `length`: as with raddle_conn_target. The value is bytes, and may not be UTF-8
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is no such header. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_header(
    request: *mut RequestHandle,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        let value = pending.request.header(arguments::string(name, "name")?);
        place.put(value.ok_or_else(|| not_found("the request has no such header"))?)
    })
}

/// Gives a header by its place, in the order in which the client has sent them.
///
/// - `request`: the request
/// - `index`: from 0 on
/// - `name`, `name_size`, `name_length`: as `buffer`, `size` and `length` of raddle_conn_target, for the name
/// - `value`, `value_size`, `value_length`: the same for the value
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last header. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_header_at(
    request: *mut RequestHandle,
    index: usize,
    name: *mut c_char,
    name_size: usize,
    name_length: *mut usize,
    value: *mut c_char,
    value_size: usize,
    value_length: *mut usize,
) -> Status {
    edit(request, |pending| {
        let name = TextOut::new(name, name_size, name_length)?;
        let value = TextOut::new(value, value_size, value_length)?;
        let header = pending.request.head().headers().nth(index);
        let (its_name, its_value) = header.ok_or_else(|| not_found("the request has no further header"))?;
        name.fits(its_name).and(value.fits(its_value))?;
        name.put(its_name).and(value.put(its_value))
    })
}

/// Gives one of the subprotocols that the client offers, in its order of preference.
///
/// - `request`: the request
/// - `index`: from 0 on
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND behind the last. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_subprotocol_at(
    request: *mut RequestHandle,
    index: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        let offered = pending.request.head().subprotocols().nth(index);
        place.put(offered.ok_or_else(|| not_found("the client offers no further subprotocol"))?)
    })
}

/// Gives the common name of the certificate that the client has shown, which was verified.
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is no certificate, or no name in it. From any
/// thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_client_name(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        let name = pending.request.client_certificate().and_then(|certificate| certificate.common_name());
        place.put(name.ok_or_else(|| not_found("the client has shown no certificate with a common name"))?)
    })
}

/// Gives the certificate that the client has shown, in DER, with a NUL behind it that is no part of it.
///
/// - `request`: the request
/// - `buffer`, `size`, `length`: as with raddle_conn_target
///
/// Returns as raddle_conn_target, and RADDLE_ERR_NOT_FOUND where there is none. From any thread, one at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_request_client_certificate(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    text(request, buffer, size, length, |pending, place| {
        let certificate = pending.request.client_certificate();
        place.put(certificate.ok_or_else(|| not_found("the client has shown no certificate"))?.der())
    })
}

fn take(request: *mut RequestHandle) -> Result<Pending, Failure> {
    Ok(RequestHandle::table().take(to_id(request))?)
}

fn edit(request: *mut RequestHandle, act: impl FnOnce(&mut Pending) -> Result<(), Failure>) -> Status {
    guard(|| {
        RequestHandle::table().use_alone(to_id(request), |pending| {
            trip(Depth::Handle);
            act(pending)
        })
    })
}

fn text(
    request: *mut RequestHandle,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    give: impl FnOnce(&Pending, &TextOut) -> Result<(), Failure>,
) -> Status {
    edit(request, |pending| give(pending, &TextOut::new(buffer, size, length)?))
}
