//! Sends every message to all connections, through a topic. `--help` lists the flags.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod flags;

use std::error::Error;
use std::process::ExitCode;

use flags::{Command, Engine, FLAGS};
use lexopt::Parser;
use raddle::{Handler, HandlerError, Message, Server, Writer};

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("publish_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(Command { builder, engine, places }) = flags::parse(Parser::from_env())? else {
        print!("publish_server [FLAGS]: sends every message to all connections\n{FLAGS}");
        return Ok(());
    };
    let signals = flags::signals(&places)?;
    let server = builder.build()?;
    let everybody = server.clone();
    match engine {
        Engine::Threads => server.start(move |mut reader, writer| {
            everybody.subscribe(&writer, ALL)?;
            while let Some(message) = reader.next_message()? {
                everybody.publish(ALL, message);
            }
            Ok(())
        })?,
        Engine::Pool => server.start_pool(Publishing { server: everybody })?,
    }
    flags::serve(&server, &places, signals)
}

struct Publishing {
    server: Server,
}

impl Handler for Publishing {
    type State = ();

    fn on_open(&self, connection: &Writer) -> Result<(), HandlerError> {
        self.server.subscribe(connection, ALL)?;
        Ok(())
    }

    fn on_message(&self, _connection: &Writer, (): &mut (), message: Message<'_>) -> Result<(), HandlerError> {
        self.server.publish(ALL, message);
        Ok(())
    }
}

/// The topic that everybody has subscribed to.
const ALL: &str = "all";
