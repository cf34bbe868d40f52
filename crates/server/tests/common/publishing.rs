//! A server that publishes, with whichever engine.

use raddle_server::{Builder, HandlerError, Message, Server, Writer};

use super::{Engine, listening};

/// A server that echoes, and publishes to `all` what begins with `all:`.
pub(crate) fn publishing(engine: Engine, set_up: impl FnOnce(Builder) -> Builder) -> Server {
    let server = listening(|builder| set_up(builder).workers(2));
    let handle = server.clone();
    let answer = move |writer: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
        match message {
            Message::Text(text) if text.starts_with("all:") => handle.publish("all", text),
            message => drop(writer.send(message)?),
        }
        Ok(())
    };
    engine.start(&server, answer).expect("it starts");
    server
}
