//! What a program keeps with a connection.

use std::ffi::c_void;

use crate::arguments;
use crate::connections;
use crate::guard::guard;
use crate::message::Connection;
use crate::status::Status;
use crate::user::{Destroy, User};

/// Keeps a pointer of the program's with a connection. One that was there before is destroyed.
///
/// - `conn`: the connection
/// - `user`: the pointer
/// - `destroy`: NULL, or what destroys it: called exactly once, when another pointer takes its place, or when the
///   connection's id stops naming it: behind the last callback, with the poll that follows RADDLE_CLOSED, or in
///   raddle_conn_free
///
/// Returns RADDLE_OK. With any other status nothing was kept, and the pointer stays the program's. From any thread; who
/// replaces a pointer has to know that nobody uses the one before.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_set_user(conn: Connection, user: *mut c_void, destroy: Destroy) -> Status {
    guard(|| {
        let before = connections::with(conn, |conn| Ok(conn.replace_user(Some(User::new(user, destroy)))))?;
        drop(before);
        Ok(())
    })
}

/// Gives the pointer that raddle_conn_set_user has kept.
///
/// - `conn`: the connection
/// - `user`: a place for the pointer; NULL is put there where none was kept
///
/// Returns RADDLE_OK. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_conn_user(conn: Connection, user: *mut *mut c_void) -> Status {
    guard(|| {
        let place = arguments::out(user, "user")?;
        connections::with(conn, |conn| {
            place.put(conn.user());
            Ok(())
        })
    })
}
