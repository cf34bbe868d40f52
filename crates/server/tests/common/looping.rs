//! A server whose event loop a test polls, and a client beside it.

use std::thread;
use std::time::Duration;

use raddle_server::{Builder, EventLoop, Server};

use super::listening;

pub(crate) fn looping(set_up: impl FnOnce(Builder) -> Builder) -> (Server, EventLoop) {
    let server = listening(set_up);
    let events = server.event_loop().expect("it starts");
    (server, events)
}

/// Runs a client beside the loop, and stops the server behind it.
pub(crate) fn beside(server: &Server, client: impl FnOnce(&Server) + Send + 'static) -> thread::JoinHandle<()> {
    /// Stops the server when the client is done, or has failed.
    struct Stopping(Server);
    impl Drop for Stopping {
        fn drop(&mut self) {
            self.0.stop(Duration::from_secs(1));
        }
    }
    let stopping = Stopping(server.clone());
    thread::spawn(move || client(&stopping.0))
}
