//! tungstenite with a thread per connection.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    serve_on(listener, Ok)
}

/// The same with TLS, as rustls puts it on a stream.
pub fn serve_secure(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    serve_on(listener, |stream| {
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(StreamOwned::new(tls, stream))
    })
}

fn serve_on<S: Read + Write + Send + 'static>(
    listener: &TcpListener,
    put_on: impl Fn(TcpStream) -> io::Result<S>,
) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let stream = put_on(stream)?;
        thread::Builder::new().spawn(move || {
            let Ok(mut socket) = tungstenite::accept(stream) else { return };
            while let Ok(message) = socket.read() {
                if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                    break;
                }
            }
        })?;
    }
}

/// Whoever receives a message sends it to all, one after the other.
pub fn publish(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    // A socket cannot be split: what is sent goes through another one over the same stream.
    static SUBSCRIBERS: Mutex<Vec<WebSocket<TcpStream>>> = Mutex::new(Vec::new());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let outgoing = stream.try_clone()?;
        thread::Builder::new().spawn(move || {
            let Ok(mut socket) = tungstenite::accept(stream) else { return };
            let subscribers = || SUBSCRIBERS.lock().expect("nobody panics");
            subscribers().push(WebSocket::from_raw_socket(outgoing, Role::Server, None));
            while let Ok(message) = socket.read() {
                if message.is_text() || message.is_binary() {
                    subscribers().retain_mut(|subscriber| subscriber.send(message.clone()).is_ok());
                }
            }
        })?;
    }
}
