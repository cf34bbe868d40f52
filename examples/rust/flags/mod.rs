//! The flags that the servers among the examples share: what the command line asks for.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use raddle::{AddressSource, Builder, Deflate, Origins, Server, ServerTls};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub(crate) const FLAGS: &str = "
  --listen HOST:PORT             where to listen (repeatable); port 0 picks one  [127.0.0.1:9001]
  --listen-unix PATH             the same, on a Unix socket (repeatable)
  --listen-inherited             on the sockets that systemd has passed
  --engine threads|pool          a thread for each connection, or some for all  [threads]
  --workers N                    threads of the pool  [one for each core]
  --deflate                      agrees on permessage-deflate with clients that offer it
  --max-message BYTES            the largest message  [1048576]
  --max-fragments N              the most frames of one message  [16384]
  --outgoing-limit BYTES         what may wait for a client that does not read  [1048576]
  --subprotocol NAME             a supported subprotocol (repeatable)
  --origin ORIGIN                a page that may connect (repeatable)  [the same host]
  --max-connections N            at a time  [4096]
  --max-connections-per-ip N     at a time, of one address  [any]
  --max-rate-per-ip N/SECONDS    new ones in that time, of one address  [any]
  --trusted-proxy NETWORK        a proxy that tells the client's address, as 10.0.0.0/8 or unix (repeatable)
  --proxy-header NAME            where it does: proxy-protocol, forwarded, x-forwarded-for  [x-forwarded-for]
  --max-handshakes N             opening handshakes at a time  [512]
  --handshake-timeout SECONDS    for an opening handshake  [10]
  --tls-cert PEM --tls-key PEM   speaks TLS on TCP; SIGHUP has both files read again
  --ping-interval SECONDS        a Ping after this silence; 0: never  [20]
  --ping-timeout SECONDS         for the answer  [20]
";

/// What the command line asks for.
pub(crate) struct Command {
    pub(crate) builder: Builder,
    pub(crate) engine: Engine,
    pub(crate) places: Places,
}

/// Where the server listens, beside its TCP addresses, and how it speaks on those.
pub(crate) struct Places {
    /// Unix sockets.
    paths: Vec<String>,
    tls: Option<ServerTls>,
}

#[derive(Clone, Copy)]
pub(crate) enum Engine {
    Threads,
    Pool,
}

/// Says where the server listens, and has it serve until it is told to stop.
///
/// `signals` were asked for before anybody is told that we serve: one that comes right after that ends us cleanly too.
pub(crate) fn serve(server: &Server, places: &Places, mut signals: Signals) -> Result<(), Box<dyn Error>> {
    let Places { paths, tls } = places;
    for address in server.local_addrs() {
        println!("listening on {}://{address}", if tls.is_some() { "wss" } else { "ws" });
    }
    for path in paths {
        println!("listening on ws+unix:{path}");
    }
    for signal in signals.forever() {
        match tls {
            Some(tls) if signal == SIGHUP => {
                // What cannot be read now may be in order at the next signal.
                if let Err(error) = tls.reload() {
                    eprintln!("the certificate stays as it was: {error}");
                }
            }
            _ => {
                log::info!("stopping on signal {signal}");
                break;
            }
        }
    }
    server.stop(Duration::from_secs(10));
    server.join(Duration::from_secs(12))?;
    Ok(())
}

/// The signals that stop a server, and the one that has it read its certificate again, where it has one.
pub(crate) fn signals(places: &Places) -> std::io::Result<Signals> {
    let signals = Signals::new([SIGTERM, SIGINT])?;
    if places.tls.is_some() {
        signals.add_signal(SIGHUP)?;
    }
    Ok(signals)
}

/// What the command line asks for; `None`: its help.
pub(crate) fn parse(mut arguments: Parser) -> Result<Option<Command>, Box<dyn Error>> {
    let mut addresses = Vec::new();
    let mut inherits = false;
    let (mut certificate, mut key) = (None, None);
    let mut paths = Vec::new();
    let mut origins = Vec::new();
    let mut proxies = Vec::new();
    let mut source = AddressSource::XForwardedFor;
    let mut builder = Server::builder();
    let mut engine = Engine::Threads;
    while let Some(argument) = arguments.next()? {
        let Arg::Long(name) = argument else { return Err(argument.unexpected().into()) };
        let name = name.to_owned();
        if name == "help" {
            return Ok(None);
        }
        if name == "deflate" {
            // Small messages too, for whoever tests it.
            builder = builder.deflate(Deflate { threshold: 0, ..Deflate::default() });
            continue;
        }
        if name == "listen-inherited" {
            inherits = true;
            continue;
        }
        let value = arguments.value()?;
        builder = match name.as_str() {
            "listen" => {
                addresses.push(value.string()?);
                builder
            }
            "tls-cert" => {
                certificate = Some(value);
                builder
            }
            "tls-key" => {
                key = Some(value);
                builder
            }
            "listen-unix" => {
                let path = value.display().to_string();
                let builder = builder.bind_unix(&value).map_err(|error| format!("cannot listen on {path}: {error}"))?;
                paths.push(path);
                builder
            }
            "engine" => {
                engine = match value.string()?.as_str() {
                    "threads" => Engine::Threads,
                    "pool" => Engine::Pool,
                    other => return Err(format!("--engine {other}: there are threads and pool").into()),
                };
                builder
            }
            "workers" => builder.workers(parsed(&name, &value)?),
            "max-message" => {
                let bytes = parsed(&name, &value)?;
                builder.with_options(|options| options.limits = options.limits.message(bytes))
            }
            "max-fragments" => {
                let count = parsed(&name, &value)?;
                builder.with_options(|options| options.limits.fragments = count)
            }
            "outgoing-limit" => {
                let bytes = parsed(&name, &value)?;
                builder.with_options(|options| options.outgoing_limit = bytes)
            }
            "subprotocol" => builder.subprotocol(value.string()?),
            "origin" => {
                origins.push(value.string()?);
                builder
            }
            "max-connections" => builder.max_connections(parsed(&name, &value)?),
            "max-connections-per-ip" => builder.max_connections_per_ip(parsed(&name, &value)?),
            "max-rate-per-ip" => {
                let value = value.string()?;
                let (count, period) = value.split_once('/').ok_or("--max-rate-per-ip takes N/SECONDS")?;
                let (count, period) = (parsed(&name, count.as_ref())?, seconds(&name, period.as_ref())?);
                builder.connection_rate_per_ip(count, period)
            }
            "trusted-proxy" => {
                proxies.push(parsed(&name, &value)?);
                builder
            }
            "proxy-header" => {
                source = match value.string()?.as_str() {
                    "proxy-protocol" => AddressSource::ProxyProtocol,
                    "forwarded" => AddressSource::Forwarded,
                    "x-forwarded-for" => AddressSource::XForwardedFor,
                    other => return Err(format!("--proxy-header {other}: no such header is known").into()),
                };
                builder
            }
            "max-handshakes" => builder.max_handshakes(parsed(&name, &value)?),
            "handshake-timeout" => builder.handshake_timeout(seconds(&name, &value)?),
            "ping-interval" => {
                let interval = seconds(&name, &value)?;
                builder.with_options(|options| options.ping_interval = (!interval.is_zero()).then_some(interval))
            }
            "ping-timeout" => {
                let timeout = seconds(&name, &value)?;
                builder.with_options(|options| options.ping_timeout = timeout)
            }
            _ => return Err(format!("there is no flag --{name}; --help lists them").into()),
        };
    }
    if !origins.is_empty() {
        builder = builder.origins(Origins::List(origins));
    }
    if !proxies.is_empty() {
        builder = builder.trusted_proxies(source, proxies);
    }
    if addresses.is_empty() && paths.is_empty() && !inherits {
        addresses.push("127.0.0.1:9001".into());
    }
    let tls = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(ServerTls::from_files(certificate, key)?),
        _ => return Err("--tls-cert and --tls-key go together".into()),
    };
    for address in addresses {
        let bound = match &tls {
            None => builder.bind(&address),
            Some(tls) => builder.bind_tls(&address, tls),
        };
        builder = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    }
    if inherits {
        builder = match &tls {
            None => builder.inherited_listeners()?,
            Some(tls) => builder.inherited_listeners_tls(tls)?,
        };
    }
    Ok(Some(Command { builder, engine, places: Places { paths, tls } }))
}

/// The value of a flag.
fn parsed<T: FromStr<Err: Display>>(name: &str, value: &OsStr) -> Result<T, Box<dyn Error>> {
    let text = value.to_string_lossy();
    text.parse().map_err(|error| format!("--{name} {text}: {error}").into())
}

fn seconds(name: &str, value: &OsStr) -> Result<Duration, Box<dyn Error>> {
    let seconds = parsed(name, value)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{name} {seconds}: {error}").into())
}
