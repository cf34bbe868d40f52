//! One side of an exchange with another library: raddle's client, a server that publishes, or tungstenite as client and as server.

mod exchange;
mod publications;
mod raddle_client;
mod tungstenite_peer;

use std::error::Error;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use raddle::Deflate;

const HELP: &str = "\
interop client [--proxy URL] [--deflate] [--ca PEM] ws[s]://HOST:PORT   raddle's client against an echo server
interop publisher [--engine threads|pool] SUBSCRIBERS   a server that sends and publishes in turn, compressed
interop subscriber [--deflate] [--window BITS] [--no-takeover] ws://HOST:PORT   raddle's client as one of those
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
    let (mut engine, mut offer) = ("threads".to_owned(), Deflate::default());
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("proxy") => proxy = Some(arguments.value()?.string()?.parse()?),
            Arg::Long("deflate") => deflate = true,
            Arg::Long("engine") => engine = arguments.value()?.string()?,
            Arg::Long("no-takeover") => offer.server_no_context_takeover = true,
            Arg::Long("window") => offer.server_max_window_bits = arguments.value()?.parse()?,
            Arg::Long("ca") => ca = Some(arguments.value()?.string()?),
            Arg::Value(word) => words.push(word.string()?),
            argument => return Err(argument.unexpected().into()),
        }
    }
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", url] => raddle_client::run(url, proxy, deflate, ca.as_deref()),
        ["publisher", subscribers] => publications::serve(&engine, subscribers.parse()?),
        ["subscriber", url] => publications::subscribe(url, deflate.then_some(offer)),
        ["tungstenite-client", url] => tungstenite_peer::client(url),
        ["tungstenite-server"] => tungstenite_peer::serve(),
        _ => Err(HELP.into()),
    }
}
