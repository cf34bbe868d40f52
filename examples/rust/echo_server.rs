//! Sends every message back. `--help` lists the flags.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod flags;

use std::error::Error;
use std::process::ExitCode;

use flags::{Command, Engine, FLAGS};
use lexopt::Parser;
use raddle::{HandlerError, Message, Writer};

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(Command { builder, engine, places }) = flags::parse(Parser::from_env())? else {
        print!("echo_server [FLAGS]: sends every message back\n{FLAGS}");
        return Ok(());
    };
    let signals = flags::signals(&places)?;
    let server = builder.build()?;
    match engine {
        Engine::Threads => server.start(|mut reader, writer| {
            while let Some(message) = reader.next_message()? {
                writer.send(message)?;
            }
            Ok(())
        })?,
        Engine::Pool => server.start_pool(|connection: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
            connection.send(message)?;
            Ok(())
        })?,
    }
    flags::serve(&server, &places, signals)
}
