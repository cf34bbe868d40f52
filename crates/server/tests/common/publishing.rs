//! A server that publishes, with either engine.

use raddle_server::{Builder, HandlerError, Message, Server, Writer};

use super::listening;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Threads,
    Pool,
}

pub(crate) const ENGINES: [Engine; 2] = [Engine::Threads, Engine::Pool];

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
    match engine {
        Engine::Pool => server.start_pool(answer),
        Engine::Threads => server.start(move |mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                answer(&writer, message)?;
            }
            Ok(())
        }),
    }
    .expect("it starts");
    server
}
