//! What the command line asks for.

use std::error::Error;

use lexopt::{Arg, Parser, ValueExt};

use crate::load::Cell;
use crate::peers::{self, Peer};

/// How long and how often is measured, and what.
#[derive(Clone, Debug)]
pub struct Options {
    pub rounds: usize,
    /// Of each measurement of a round.
    pub seconds: f64,
    /// Cells of `echo`, where not all.
    cells: Vec<Cell>,
    /// Names of the peers, where not all.
    peers: Vec<String>,
    /// Whether tables and plots are written to `results/` as well.
    pub save: bool,
    /// Whether what has it either way is done with TLS.
    pub tls: bool,
}

impl Options {
    /// The words of the command line, and the options among them.
    pub fn parse(mut arguments: Parser) -> Result<(Vec<String>, Self), Box<dyn Error>> {
        let mut options =
            Self { rounds: 5, seconds: 0.4, cells: Vec::new(), peers: Vec::new(), save: false, tls: false };
        let mut words = Vec::new();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("cell") => options.cells.push(arguments.value()?.parse()?),
                Arg::Long("peer") => options.peers.push(arguments.value()?.string()?),
                Arg::Long("rounds") => options.rounds = arguments.value()?.parse()?,
                Arg::Long("save") => options.save = true,
                Arg::Long("seconds") => options.seconds = arguments.value()?.parse()?,
                Arg::Long("tls") => options.tls = true,
                Arg::Value(word) => words.push(word.string()?),
                _ => return Err(argument.unexpected().into()),
            }
        }
        if options.rounds == 0 || !(options.seconds > 0.0 && options.seconds < 3600.0) {
            return Err("there is at least one round, of more than no time and less than an hour".into());
        }
        let names: Vec<&str> = peers::ALL.iter().chain(&peers::SECURE).map(|peer| peer.name).collect();
        if let Some(name) = options.peers.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("--peer {name}: there are {}", names.join(", ")).into());
        }
        Ok((words, options))
    }

    /// Those of `all` that are asked for, with the raw limits that they are compared to.
    pub fn peers(&self, all: &[Peer]) -> Vec<Peer> {
        let wanted: Vec<&Peer> = all.iter().filter(|peer| self.is_wanted(peer.name)).collect();
        let needed = |limit: &Peer| limit.is_limit() && wanted.iter().any(|peer| peer.limit == limit.limit);
        all.iter().filter(|peer| wanted.contains(peer) || needed(peer)).copied().collect()
    }

    /// Tells whether something of this name is asked for.
    pub fn is_wanted(&self, name: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == name)
    }

    /// Those of `all` that are asked for, or others that are.
    pub fn cells(&self, all: &[Cell]) -> Vec<Cell> {
        if self.cells.is_empty() { all.to_vec() } else { self.cells.clone() }
    }
}
