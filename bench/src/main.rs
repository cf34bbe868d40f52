//! Measures raddle's servers, and its client, beside a raw limit and other libraries, in one run, interleaved.
//!
//! Each server is a process of its own, pinned to one core; the load comes from the other. The steady figure is the server's
//! CPU time (user and system) per message; what a table prints beside it is the median of the ratios to the raw baseline of
//! the same round.

mod broadcast;
mod channel;
mod client;
mod codec;
mod deflate;
mod duplex;
mod echo;
mod handshake;
mod hold;
mod honest;
mod idle;
mod keepalive;
mod load;
mod machine;
mod options;
mod peers;
mod plot;
mod process;
mod python_client;
mod report;
mod results;
mod rounds;
mod secure;
mod sink;
mod tls;
mod unread;
mod wire;

use std::error::Error;

use lexopt::Parser;
use options::Options;
use peers::Task;
use report::Table;

const HELP: &str = "\
bench COMMAND [OPTIONS]

  echo         CPU per echoed message
  idle         memory per idle connection
  handshake    CPU per opening handshake, 32 at a time
  keepalive    CPU of 10,000 idle connections that are pinged
  broadcast    CPU per delivery to 1,000 subscribers
  client       CPU of a client per round trip
  python-client  the same of clients in Python
  codec        time per frame, in memory
  deflate      time per message of 1 KiB of JSON, compressed and inflated
  tls          the first two with TLS, beside rustls without anything above it
  all          all of the above; writes tables and plots to results/

  duplex       1 GiB each way on one connection of raddle's client, by two threads
  drip         an honest client beside 2,000 that drip their opening handshake; 10,000 with --tls
  stalled      an honest client beside 1,000 that never read
  unread       1,000 subscribers of a topic beside 1,000 that never read
  churn        100,000 rounds of connecting and disconnecting
  crowd        5,000 clients that connect 64 at a time

  --rounds N           rounds of each measurement  [5]
  --seconds S          of each server in each round  [0.4]
  --peer NAME          only this one, and the raw limit it is compared to (repeatable)
  --cell B/C/F         only this cell of echo: payload bytes, connections, messages in flight (repeatable)
  --tls                duplex and drip with TLS
  --save               write tables and plots to results/
";

fn main() -> Result<(), Box<dyn Error>> {
    let (words, mut options) = Options::parse(Parser::from_env())?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["all"] => {
            options.save = true;
            let failed = COMMANDS.iter().filter(|(name, run)| {
                let outcome = run(&options).and_then(|tables| show(tables, &options));
                outcome.inspect_err(|error| eprintln!("bench: {name}: {error}")).is_err()
            });
            // The others go on all the same.
            match failed.count() {
                0 => Ok(()),
                count => Err(format!("{count} measurements have failed").into()),
            }
        }
        ["duplex"] => duplex::run(&options),
        ["drip"] => hold::drip(&options),
        ["stalled"] => hold::stalled(&options),
        ["unread"] => unread::run(&options),
        ["churn"] => hold::churn(),
        ["crowd"] => hold::crowd(),
        // What the other commands start.
        ["serve", "sink", most] => sink::serve(most.parse()?),
        ["serve", "echo", peer] => peers::serve(peer, Task::Echo),
        ["serve", "echo", peer, folder] => peers::serve_secure(peer, folder.as_ref()),
        ["serve", "publish", peer] => peers::serve(peer, Task::Publish),
        [command] if let Some((_, run)) = COMMANDS.iter().find(|(name, _)| *name == command) => {
            show(run(&options)?, &options)
        }
        _ => {
            print!("{HELP}");
            Ok(())
        }
    }
}

fn show(tables: Vec<Table>, options: &Options) -> Result<(), Box<dyn Error>> {
    for table in tables {
        println!("{}", table.markdown());
        if options.save {
            results::save(&table, options)?;
        }
    }
    Ok(())
}

type Command = fn(&Options) -> Result<Vec<Table>, Box<dyn Error>>;

const COMMANDS: [(&str, Command); 10] = [
    ("echo", echo::run),
    ("idle", idle::run),
    ("handshake", handshake::run),
    ("keepalive", keepalive::run),
    ("broadcast", broadcast::run),
    ("client", client::run),
    ("python-client", python_client::run),
    ("codec", codec::run),
    ("deflate", deflate::run),
    ("tls", tls::run),
];
