//! A thread of its own for a connection of callbacks or of a queue, for as long as a function of the program's runs there.

use std::ffi::c_void;
use std::io;
use std::sync::{Arc, OnceLock};

use raddle_socket::State;

use crate::connections;
use crate::guard::guard;
use crate::message::Connection;
use crate::server::callbacks::CallbackFailed;
use crate::server::{Server, topics, with};
use crate::status::{Failure, Status};
use crate::user::{Destroy, User};

/// What runs on a thread of a connection's own. It may wait; raddle_recv and what else receives gives it the connection's messages,
/// in their order, until it returns.
///
/// Returns 0 to give the connection back; anything else closes it with 1011. It must return, as any callback.
pub type ThreadCallback = Option<unsafe extern "C-unwind" fn(conn: Connection, user: *mut c_void) -> i32>;

/// Gives a connection of engine pool, queue or fed queue a thread of its own, for what takes long there, or waits: others have their
/// time meanwhile. When the function returns, messages go to callbacks or into the queue again.
///
/// - `server`: the server
/// - `conn`: a connection of it
/// - `body`: the function, which is not called where the connection ends before the thread has it
/// - `user`: handed to the function
/// - `destroy`: NULL, or what destroys `user`: called exactly once, when the function has returned, or will not be called
///
/// Called in a callback of that connection, the function gets all messages behind the one of the callback; with a queue, all behind
/// those of the last raddle_server_poll. raddle_server_join waits for the thread.
///
/// Returns RADDLE_OK; RADDLE_ERR_CLOSED where the connection has ended; RADDLE_ERR_STATE where it has a thread already, was not
/// opened to the program yet (RADDLE_OPENED), or the program receives by calls anyway; RADDLE_ERR_IO where no thread can be
/// started. With any failure the library has no use for `user`. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_move_to_thread(
    server: *mut Server,
    conn: Connection,
    body: ThreadCallback,
    user: *mut c_void,
    destroy: Destroy,
) -> Status {
    guard(|| {
        // Filled once it is known that the thread has it.
        let place = Arc::new(OnceLock::new());
        let of_thread = Arc::clone(&place);
        with(server, |serving| {
            let entry = connections::get(conn)?;
            topics::own(serving, &entry.conn)?;
            let body = body.ok_or_else(|| Failure::argument("body: NULL"))?;
            let writer = entry.conn.writer.clone();
            let of_thread = move |reader: &mut raddle_socket::Reader, _: &raddle_socket::Writer| {
                let user: &User = of_thread.wait();
                let returned = {
                    let _current = connections::enter(&entry);
                    let _lent = connections::lend(entry.id, reader);
                    // SAFETY: the program has given the function for this pointer, which is not destroyed before `of_thread` is.
                    unsafe { body(entry.id, user.data()) }
                };
                if returned == 0 { Ok(()) } else { Err(CallbackFailed(returned).into()) }
            };
            serving.server.move_to_thread(&writer, of_thread).map_err(|error| match error.kind() {
                io::ErrorKind::NotConnected if writer.state() == State::Closed => {
                    Failure::new(Status::RADDLE_ERR_CLOSED, "the connection has ended")
                }
                io::ErrorKind::NotConnected => Failure::state("the connection has a thread of its own"),
                io::ErrorKind::WouldBlock => Failure::state("the connection was not opened to the program yet"),
                _ => error.into(),
            })
        })?;
        place.get_or_init(|| User::new(user, destroy));
        Ok(())
    })
}
