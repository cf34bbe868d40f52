//! The command that starts a server.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use super::{Kind, Peer, Task, provision};
use crate::secure;

/// Why a server cannot be had here.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What stands in its place in a table.
    pub word: &'static str,
    pub reason: String,
}

impl Missing {
    pub fn because(reason: String) -> Self {
        Self { word: "missing", reason }
    }
}

/// The command that starts `peer`; it says where it listens in one line.
pub fn command(peer: &Peer, task: Task) -> Result<Command, Missing> {
    let word = match task {
        Task::Echo => "echo",
        Task::Publish => "publish",
    };
    let mut command;
    match peer.kind {
        Kind::Example(flags) => {
            let name = if task == Task::Echo { "echo_server" } else { "publish_server" };
            command = Command::new(provision::example(name)?);
            command.args(["--listen", "127.0.0.1:0", "--ping-interval", "0"]);
            command.args(["--max-message", "16777216", "--max-connections", "100000"]).args(flags);
            if peer.is_secure {
                let folder = provision::certificate()?;
                command.arg("--tls-cert").arg(folder.join(secure::CHAIN));
                command.arg("--tls-key").arg(folder.join(secure::KEY));
            }
        }
        Kind::C(name, flags) => {
            command = Command::new(provision::c_example(name)?);
            command.args(["127.0.0.1", "0", "--ping-interval", "0"]);
            command.args(["--max-message", "16777216", "--max-connections", "100000"]).args(flags);
        }
        Kind::Embedded(name) => {
            command = Command::new(provision::c_example(name)?);
            command.args(["127.0.0.1", "0"]);
        }
        Kind::Served => {
            command = Command::new(std::env::current_exe()?);
            command.args(["serve", word, peer.name]);
            if peer.is_secure {
                command.arg(provision::certificate()?);
            }
        }
        Kind::Libwebsockets => command = Command::new(provision::libwebsockets()?),
        Kind::RawPoll => command = Command::new(provision::raw_poll()?),
        Kind::Node => {
            command = Command::new("node");
            command.arg(provision::node()?.join("ws.js")).arg(word);
        }
        Kind::Python(file) => {
            command = Command::new(provision::python()?);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peers/python").join(file));
        }
        Kind::PythonExample(file, flags) => {
            command = with_raddle(Command::new(provision::python()?))?;
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python").join(file));
            command.args(["127.0.0.1", "0", "--ping-interval", "0", "--max-message", "16777216"]).args(flags);
        }
    }
    Ok(command)
}

/// Has a Python program import the package of this project from its source, with a library that was just built.
pub fn with_raddle(mut command: Command) -> Result<Command, Missing> {
    command.env("RADDLE_LIBRARY", provision::libraddle()?);
    command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/python/src"));
    Ok(command)
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.word, self.reason)
    }
}

impl Error for Missing {}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self::because(error.to_string())
    }
}
