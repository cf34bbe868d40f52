//! tungstenite, as a client of an echo server and as one.

use std::error::Error;
use std::net::TcpListener;
use std::thread;

use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use crate::exchange::{CODE, REASON, Sent, messages};

pub fn client(url: &str) -> Result<(), Box<dyn Error>> {
    let (mut socket, _) = tungstenite::connect(url)?;
    for sent in messages() {
        let message = match sent {
            Sent::Text(text) => Message::text(text),
            Sent::Binary(bytes) => Message::binary(bytes),
        };
        socket.send(message.clone())?;
        let received = socket.read()?;
        if received != message {
            return Err(format!("{} bytes came back that differ", received.len()).into());
        }
    }
    socket.send(Message::Ping("still there?".into()))?;
    let pong = socket.read()?;
    if pong != Message::Pong("still there?".into()) {
        return Err(format!("{pong:?} instead of a Pong").into());
    }
    socket.close(Some(CloseFrame { code: CODE.into(), reason: REASON.into() }))?;
    match socket.read()? {
        Message::Close(Some(frame)) if u16::from(frame.code) == CODE => {}
        other => return Err(format!("{other:?} instead of a Close").into()),
    }
    match socket.read() {
        Err(tungstenite::Error::ConnectionClosed) => Ok(()),
        other => Err(format!("{other:?} instead of the end").into()),
    }
}

pub fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || {
            let Ok(mut socket) = tungstenite::accept(stream) else { return };
            while let Ok(message) = socket.read() {
                if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                    break;
                }
            }
        });
    }
}
