//! One side of an exchange with another library: raddle's client, or tungstenite as client and as server.

mod exchange;
mod raddle_client;
mod tungstenite_peer;

use std::error::Error;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
interop client [--proxy URL] [--deflate] [--ca PEM] ws[s]://HOST:PORT   raddle's client against an echo server
interop tungstenite-client ws://HOST:PORT       tungstenite's
interop tungstenite-server                      an echo server of tungstenite's; it says where it listens
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = Parser::from_env();
    let (mut words, mut proxy, mut deflate, mut ca) = (Vec::new(), None, false, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("proxy") => proxy = Some(arguments.value()?.string()?.parse()?),
            Arg::Long("deflate") => deflate = true,
            Arg::Long("ca") => ca = Some(arguments.value()?.string()?),
            Arg::Value(word) => words.push(word.string()?),
            argument => return Err(argument.unexpected().into()),
        }
    }
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", url] => raddle_client::run(url, proxy, deflate, ca.as_deref()),
        ["tungstenite-client", url] => tungstenite_peer::client(url),
        ["tungstenite-server"] => tungstenite_peer::serve(),
        _ => Err(HELP.into()),
    }
}
