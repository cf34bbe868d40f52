//! tungstenite with a thread per connection.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use super::raw;

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    raw::with_threads(listener, Ok, echo)
}

/// The same with TLS, as rustls puts it on a stream.
pub fn serve_secure(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    let open = |stream| {
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(StreamOwned::new(tls, stream))
    };
    raw::with_threads(listener, open, echo)
}

fn echo<S: Read + Write>(stream: S) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            break;
        }
    }
}

/// Whoever receives a message sends it to all, one after the other.
pub fn publish(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    // A socket cannot be split: what is sent goes through another one over the same stream.
    static SUBSCRIBERS: Mutex<Vec<WebSocket<TcpStream>>> = Mutex::new(Vec::new());
    let open = |stream: TcpStream| Ok((stream.try_clone()?, stream));
    raw::with_threads(listener, open, |(outgoing, stream)| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        let subscribers = || SUBSCRIBERS.lock().expect("nobody panics");
        subscribers().push(WebSocket::from_raw_socket(outgoing, Role::Server, None));
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                subscribers().retain_mut(|subscriber| subscriber.send(message.clone()).is_ok());
            }
        }
    })
}
