//! tungstenite with a thread per connection.

use std::error::Error;
use std::net::TcpListener;
use std::thread;

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
