//! tungstenite with a thread per connection.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;

use tungstenite::WebSocket;
use tungstenite::protocol::Role;

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
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
