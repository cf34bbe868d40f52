//! What a server writes to the log: a bounded number of records, and nothing in them that a peer could fake a line with.

#[path = "hold/support.rs"]
mod support;

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::{Mutex, MutexGuard};
use raddle_server::{HandlerError, Message, Writer};

use support::*;

/// Keeps the library's records.
struct Journal(Mutex<Vec<(Level, String)>>);

impl Log for Journal {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("raddle") {
            self.0.lock().push((record.level(), record.args().to_string()));
            if FAILS.load(Ordering::SeqCst) {
                resume_unwind(Box::new("the logger fails"));
            }
        }
    }

    fn flush(&self) {}
}

/// The logger panics.
static FAILS: AtomicBool = AtomicBool::new(false);

static JOURNAL: Journal = Journal(Mutex::new(Vec::new()));

/// The log is the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let alone = ALONE.lock();
    INSTALLED.get_or_init(|| {
        log::set_logger(&JOURNAL).expect("the first");
        log::set_max_level(LevelFilter::Trace);
    });
    JOURNAL.0.lock().clear();
    alone
}

fn records() -> Vec<(Level, String)> {
    JOURNAL.0.lock().clone()
}

/// Waits for a record that has this in it.
fn record(part: &str) -> (Level, String) {
    let mut found = None;
    eventually(part, || {
        found = records().into_iter().find(|(_, text)| text.contains(part));
        found.is_some()
    });
    found.expect("it was found")
}

/// One line, bounded, without a byte that a terminal or a reader of lines obeys.
fn assert_tame(text: &str) {
    assert!(text.len() <= 400, "{} bytes: {}", text.len(), &text[..400]);
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

#[test]
fn two_thousand_bad_handshakes_make_a_few_dozen_records() {
    // Hostile inputs 236, 252 and 366: who is turned away for lack of a descriptor is told in the same way.
    let _alone = alone();
    let host = Host::echo(builder());
    let bad = [
        "\x1b[31mGET / HTTP/1.1\r\n\r\n",
        "GET /\x1b]0;title\x07 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\ny\r\n\r\n",
        "GET / HTTP/1.1\r\n\x00: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    let began = Instant::now();
    for number in 0..2000 {
        let status = status(&mut send_request(host.dial(), bad[number % bad.len()]));
        assert!(matches!(status, 400 | 405), "{status}");
    }
    let seconds = began.elapsed().as_secs() as usize + 2;
    let written = records();
    assert!((1..=20 * seconds).contains(&written.len()), "{} records in {seconds} s", written.len());
    for (level, text) in &written {
        assert_eq!(*level, Level::Debug, "what any client can cause is no more than that: {text}");
        assert_tame(text);
    }
    // Those that were left out are told of as soon as there is room again.
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(status(&mut send_request(host.dial(), bad[0])), 400);
    let (_, told) = record("records were left out");
    assert_tame(&told);
}

const EVIL: &str = "\x1b[2J\r\n1970-01-01 ERROR forged\0\u{7f}\u{9b}31m";

#[test]
fn what_an_application_says_with_a_peers_words_is_escaped_and_cut() {
    // Hostile input 366.
    let _alone = alone();
    let act = |writer: &Writer, message: Message<'_>| match (&*writer.info().target, message) {
        ("/fail", Message::Text(text)) => Err(format!("bad message: {text}").into()),
        ("/panic", Message::Text(text)) => resume_unwind(Box::new(format!("bad message: {text}"))),
        _ => Ok(()),
    };
    let host = Host::acting(builder(), |_: &Writer| Ok(()), act);
    for (target, begins) in [("/fail", "has failed: bad message"), ("/panic", "has panicked: bad message")] {
        for words in [EVIL.to_owned(), "x".repeat(500_000), "\u{20ac}".repeat(100_000)] {
            JOURNAL.0.lock().clear();
            let mut client = opened(host.ask_for(target));
            client.send(text(&words));
            assert_eq!(close_code(&mut client), 1011, "and the peer is not told");
            let (level, text) = record(begins);
            assert_eq!(level, Level::Error);
            assert_tame(&text);
        }
    }
}

#[test]
fn a_reason_of_the_peers_is_escaped() {
    // Hostile input 366.
    let _alone = alone();
    let host = Host::echo(builder());
    let mut client = host.open();
    client.send(close(4000, EVIL));
    assert_eq!(close_code(&mut client), 4000);
    let (level, text) = record("has ended: closed by the peer");
    assert_eq!(level, Level::Debug);
    assert!(text.contains("forged"), "{text}");
    assert_tame(&text);
}

#[test]
fn a_logger_that_panics_takes_no_thread_along_that_others_need() {
    let _alone = alone();
    let server = builder().workers(1).build().expect("a server");
    server
        .start_pool(|writer: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
            match message {
                Message::Text("fail") => Err("as it is to".into()),
                message => Ok(writer.send(message).map(|_| ())?),
            }
        })
        .expect("the server starts");
    let open = || opened(send_request(dial(server.local_addr()), &request_for("/", "")));
    let mut before = open();
    FAILS.store(true, Ordering::SeqCst);
    // The lobby says so, and then the worker.
    let mut malformed = send_request(dial(server.local_addr()), "GET\r\n\r\n");
    assert_eq!(status(&mut malformed), 400);
    let mut client = open();
    client.send(text("fail"));
    assert_eq!(close_code(&mut client), 1011);
    eventually("both are said", || records().len() >= 2);
    for client in [&mut before, &mut open()] {
        client.send(text("Hello"));
        assert_eq!(client.frame(), text("Hello"));
    }
    FAILS.store(false, Ordering::SeqCst);
    server.stop(Duration::ZERO);
    server.join(PATIENCE).expect("it ends");
}
