//! Sends every message back that a test suite's server sends, case by case: the client's side of the conformance suite.
//! `--help` lists the flags.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt};
use raddle::{Client, ClientTls, Deflate};

const HELP: &str = "\
echo_client ws[s]://HOST:PORT [FLAGS]: runs all cases of the conformance suite that is served there

  --max-message BYTES            the largest message  [16777216]
  --ca PEM                       the roots that certificates lead to  [the system's]
  --max-fragments N              the most frames of one message  [100000]
";

fn main() -> ExitCode {
    env_logger::init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some((client, server)) = parse(Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    let mut asked = client.connect(&format!("{server}/getCaseCount"))?;
    let Some(count) = asked.next_message()? else {
        return Err("the server does not say how many cases there are".into());
    };
    let count: u32 = std::str::from_utf8(count.as_bytes())?.trim().parse()?;
    for case in 1..=count {
        let (mut reader, writer) = client.connect(&format!("{server}/runCase?case={case}&agent=raddle"))?.split();
        // However the case ends: what has come of it is the suite's to judge.
        while let Ok(Some(message)) = reader.next_message() {
            if writer.send(message).is_err() {
                break;
            }
        }
    }
    let mut told = client.connect(&format!("{server}/updateReports?agent=raddle"))?;
    while told.next_message()?.is_some() {}
    println!("{count} cases");
    Ok(())
}

/// What the command line asks for, and of which server; `None`: its help.
fn parse(mut arguments: Parser) -> Result<Option<(Client, String)>, Box<dyn Error>> {
    // A case that floods us gets no Ping between its frames.
    let mut client = Client::new().with_options(|options| {
        options.ping_interval = None;
        options.limits.fragments = 100_000;
    });
    let mut server = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(url) if server.is_none() => server = Some(url.string()?.trim_end_matches('/').to_owned()),
            Arg::Long("help") => return Ok(None),
            Arg::Long("max-message") => {
                let bytes = arguments.value()?.parse()?;
                client = client.with_options(|options| options.limits = options.limits.message(bytes));
            }
            Arg::Long("max-fragments") => {
                let count = arguments.value()?.parse()?;
                client = client.with_options(|options| options.limits.fragments = count);
            }
            // Everything is compressed, so that the suite sees it.
            Arg::Long("deflate") => client = client.deflate(Deflate { threshold: 0, ..Deflate::default() }),
            Arg::Long("ca") => {
                let path = arguments.value()?;
                let roots = std::fs::read(&path).map_err(|error| format!("--ca {}: {error}", path.display()))?;
                client = client.tls(ClientTls::new().without_system_roots().add_roots_pem(roots)?);
            }
            argument => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some((client, server.ok_or("where is the server? ws://HOST:PORT")?)))
}
