//! Measures raddle's servers, and its client, beside a raw limit and other libraries, in one run, interleaved.
//!
//! Each server is a process of its own, pinned to one core; the load comes from the other. The steady figure is the server's
//! CPU time (user and system) per message; what a table prints beside it is the median of the ratios to the raw baseline of
//! the same round.

mod client;
mod deflate;
mod duplex;
mod echo;
mod handshake;
mod hold;
mod honest;
mod idle;
mod load;
mod peers;
mod process;
mod report;
mod wire;

use std::error::Error;

use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
bench COMMAND [--rounds N] [--seconds S] [--cell N]

  echo         CPU per message: raw threads, raddle threads, tungstenite
  client       CPU of a client per round trip: a raw socket, raddle, tungstenite
  duplex       1 GiB each way on one connection of raddle's client, by two threads
  deflate      time per message of 1 KiB of JSON, compressed and inflated: bare zlib-rs, raddle-core
  idle         memory per idle connection, after one message on each
  handshake    CPU per opening handshake, 32 at a time
  drip         an honest client beside 2,000 that drip their opening handshake
  stalled      an honest client beside 1,000 that never read
  churn        100,000 rounds of connecting and disconnecting
  crowd        5,000 clients that connect 64 at a time
";

/// How long and how often is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    seconds: f64,
    /// Only this cell, counted from 1.
    cell: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Parser::from_env();
    let mut effort = Effort { rounds: 5, seconds: 1.0, cell: None };
    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("cell") => effort.cell = Some(arguments.value()?.parse()?),
            Arg::Long("rounds") => effort.rounds = arguments.value()?.parse()?,
            Arg::Long("seconds") => effort.seconds = arguments.value()?.parse()?,
            Arg::Value(word) => words.push(word.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["echo"] => echo::run(effort),
        ["client"] => client::run(effort),
        ["duplex"] => duplex::run(),
        ["deflate"] => deflate::run(effort),
        ["idle"] => idle::run(effort),
        ["handshake"] => handshake::run(effort),
        ["drip"] => hold::drip(effort),
        ["stalled"] => hold::stalled(effort),
        ["churn"] => hold::churn(),
        ["crowd"] => hold::crowd(),
        // What the other commands start.
        ["serve", peer] => peers::serve(peer),
        _ => {
            print!("{HELP}");
            Ok(())
        }
    }
}
