//! How the server holds while some clients behave badly, and after many have come and gone.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::honest::{self, Service};
use crate::options::Options;
use crate::peers::{Peer, RADDLE_THREADS, RADDLE_THREADS_TLS};
use crate::process::{self, Server};
use crate::report::{grid, median};
use crate::secure;
use crate::sink;
use crate::wire::{self, Wire};

/// Many clients send a byte of their opening handshake each second; one that is let go comes back. With TLS, it is a byte of
/// their handshake of TLS.
pub fn drip(options: &Options) -> Result<(), Box<dyn Error>> {
    process::raise_descriptor_limit();
    let (peer, clients, opening) = match options.tls {
        false => (RADDLE_THREADS, 2_000, wire::OPENING.to_vec()),
        true => (RADDLE_THREADS_TLS, 10_000, secure::hello()?),
    };
    let wide = clients * 2;
    for (most, flags) in [(wide, &["--max-handshakes", &wide.to_string()][..]), (MAX_HANDSHAKES, &[])] {
        println!("\n{clients} clients that drip their opening handshake; echo_server {}", flags.join(" "));
        let sink = move || sink::start(most);
        compare(options, &peer, flags, Some(&sink), |address, Signals { ready, stop }| {
            // Each with the number of bytes that it has sent.
            let mut streams: Vec<Option<(TcpStream, usize)>> = (0..clients).map(|_| None).collect();
            for second in 0.. {
                ready.store(second > 1, Ordering::Relaxed);
                let start = Instant::now();
                for (index, stream) in streams.iter_mut().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let goes_on = stream.as_mut().is_some_and(|(stream, sent)| {
                        let byte = opening.get(*sent..*sent + 1);
                        *sent += 1;
                        byte.is_some_and(|byte| stream.write_all(byte).is_ok())
                    });
                    if !goes_on {
                        *stream = TcpStream::connect(address).ok().map(|stream| (stream, 0));
                    }
                    // A second for all of them.
                    let due = start + Duration::from_secs(1) * index as u32 / clients as u32;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// 1,000 clients send and never read: their sockets are full, and their handlers wait for room.
pub fn stalled(options: &Options) -> Result<(), Box<dyn Error>> {
    const CLIENTS: usize = 1000;
    println!("{CLIENTS} clients that never read what is echoed to them");
    compare(options, &RADDLE_THREADS, &[], None, |address, Signals { ready, stop }| {
        let request = wire::request(16 * 1024);
        let mut streams = Vec::new();
        for _ in 0..CLIENTS {
            let stream = Wire::WebSocket.connect_narrowly(address)?;
            stream.set_nonblocking(true)?;
            streams.push((stream, 0));
        }
        while !stop.load(Ordering::Relaxed) {
            let mut taken = 0;
            for (stream, at) in &mut streams {
                if let Ok(count) = stream.write(&request[*at..]) {
                    *at = (*at + count) % request.len();
                    taken += count;
                }
            }
            ready.store(taken == 0, Ordering::Relaxed);
            // Full sockets need no looking after: a thousand writes that fail would delay the honest client, on whose core
            // they are.
            thread::sleep(Duration::from_millis(if taken == 0 { 1000 } else { 20 }));
        }
        Ok(())
    })
}

/// What the clients that behave badly tell, and are told.
struct Signals {
    /// They are all there, and behave as badly as they will.
    ready: AtomicBool,
    stop: AtomicBool,
}

type StartSink = dyn Fn() -> Result<Server, Box<dyn Error>>;

/// Serves an honest client alone and beside the others, in turns; where there is a sink, also while the others are at that.
fn compare(
    options: &Options,
    peer: &Peer,
    flags: &[&str],
    sink: Option<&StartSink>,
    disturb: impl Fn(SocketAddr, &Signals) -> io::Result<()> + Sync,
) -> Result<(), Box<dyn Error>> {
    process::pin_load();
    // So that there are some twenty round trips above the ninety-ninth part.
    let time = Duration::from_secs_f64(options.seconds * 12.0);
    let (mut rows, mut ratios, mut of_load, mut of_server, mut lost) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 1..=options.rounds {
        let server = Server::start(peer, flags)?;
        let beside = |disturbed: SocketAddr| {
            let signals = Signals { ready: AtomicBool::new(false), stop: AtomicBool::new(false) };
            thread::scope(|scope| {
                let disturber = scope.spawn(|| disturb(disturbed, &signals));
                let patience = Instant::now() + Duration::from_secs(60);
                while !signals.ready.load(Ordering::Relaxed) && Instant::now() < patience && !disturber.is_finished() {
                    thread::sleep(Duration::from_millis(100));
                }
                let most = server.threads();
                let before = server.cpu();
                let served = honest::serve(peer, server.address, time).map_err(|error| error.to_string());
                let cpu = server.cpu() - before;
                signals.stop.store(true, Ordering::Relaxed);
                disturber.join().expect("the disturber does not panic")?;
                Ok::<_, Box<dyn Error>>((served?, most, cpu))
            })
        };
        let alone = honest::serve(peer, server.address, time)?;
        let threads = server.threads();
        // It is ended again before the others come here: letting its connections go would take the core from the server.
        let load = sink
            .map(|start| {
                let sink = start()?;
                beside(sink.address)
            })
            .transpose()?
            .map(|(served, ..)| served);
        let (disturbed, most, cpu) = beside(server.address)?;
        ratios.push(disturbed.p99 / alone.p99);
        if let Some(load) = &load {
            of_load.push(load.p99 / alone.p99);
            of_server.push(disturbed.p99 / load.p99);
        }
        let served = [Some(&alone), load.as_ref(), Some(&disturbed)];
        lost += served.iter().flatten().map(|service| service.lost).sum::<usize>();
        let of_each = |tell: fn(&Service) -> String| served.map(|service| service.map_or("-".to_owned(), tell));
        let mut row = vec![round.to_string()];
        row.extend(of_each(|service| format!("{:.0} / {:.0}", service.median, service.p99)));
        row.push(of_each(|service| format!("{:.0}", service.connect_p99)).join(" / "));
        row.push(of_each(|service| service.round_trips.to_string()).join(" + "));
        row.push(of_each(|service| service.lost.to_string()).join(" + "));
        row.push(format!("{threads} / {most}"));
        row.push(format!("{:.0}", cpu.as_secs_f64() / time.as_secs_f64() * 100.0));
        rows.push(row);
    }
    let head = [
        "round",
        "alone: median / p99 µs",
        "others at a sink",
        "others here",
        "connect p99 µs",
        "round trips",
        "lost",
        "threads",
        "server's CPU %",
    ];
    print!("{}", grid(head.map(str::to_owned).to_vec(), rows));
    println!("p99 beside / alone: {:.2} (median)", median(&ratios));
    if sink.is_some() {
        let (load, server) = (median(&of_load), median(&of_server));
        println!("of that, what the others cost at a sink: {load:.2}; what the server adds: {server:.2} (medians)");
    }
    if lost == 0 { Ok(()) } else { Err(format!("the honest client has lost {lost} messages or connects").into()) }
}

/// Connects and disconnects 100,000 times, at every stage of a connection's life.
pub fn churn() -> Result<(), Box<dyn Error>> {
    const ROUNDS: usize = 100_000;
    const WARM_UP: usize = 5_000;
    let server = Server::start(&RADDLE_THREADS, &[])?;
    let request = wire::request(1024);
    let mut reply = vec![0; Wire::WebSocket.reply(1024).len()];
    let mut live = |round: usize| -> io::Result<()> {
        let stream = TcpStream::connect(server.address)?;
        match round % 5 {
            0 => {}
            1 => (&stream).write_all(&wire::OPENING[..round % wire::OPENING.len()])?,
            2 => wire::shake_hands(&stream)?,
            3 => {
                wire::shake_hands(&stream)?;
                (&stream).write_all(&request[..round % request.len()])?;
            }
            _ => {
                wire::shake_hands(&stream)?;
                wire::round_trip(&stream, &request, &mut reply)?;
                // A Close of code 1000, masked with a key of zeros; the server answers and ends the stream.
                (&stream).write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])?;
                (&stream).read_to_end(&mut Vec::new())?;
            }
        }
        Ok(())
    };
    let start = Instant::now();
    let mut rows = Vec::new();
    for round in 0..=ROUNDS {
        if round == WARM_UP || round == ROUNDS / 2 || round == ROUNDS {
            // The last ones are on their way out.
            thread::sleep(Duration::from_secs(2));
            rows.push(vec![
                round.to_string(),
                server.descriptors().to_string(),
                server.threads().to_string(),
                server.memory().to_string(),
            ]);
        }
        live(round)?;
    }
    println!("{ROUNDS} connections, one after the other, in {:.0} s", start.elapsed().as_secs_f64());
    let head = ["after", "descriptors", "threads", "memory KiB"];
    print!("{}", grid(head.map(str::to_owned).to_vec(), rows));
    Ok(())
}

/// 5,000 clients connect, 64 at a time, and stay.
pub fn crowd() -> Result<(), Box<dyn Error>> {
    const CLIENTS: usize = 5000;
    const AT_A_TIME: usize = 64;
    let server = Server::start(&RADDLE_THREADS, &[])?;
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    let connected: usize = thread::scope(|scope| {
        let connect = || {
            let mut streams = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < CLIENTS {
                match Wire::WebSocket.connect(server.address) {
                    Ok(stream) => streams.push(stream),
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
            }
            streams
        };
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(connect)).collect();
        let streams: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        streams.len()
    });
    let seconds = start.elapsed().as_secs_f64();
    println!("{connected} of {CLIENTS} connected in {seconds:.1} s, {} refused", refused.into_inner());
    Ok(())
}

/// As the server has them, unless it is told otherwise.
const MAX_HANDSHAKES: usize = 512;
