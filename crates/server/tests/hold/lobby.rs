//! Those whose opening handshake is under way: dripping ones, and those on whose requests nobody decides.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raddle_server::{DecisionError, Refusal, Request};

use crate::support::*;

#[test]
fn of_a_thousand_dripping_handshakes_the_oldest_are_shed_and_an_honest_client_loses_nothing() {
    const DRIPPING: usize = 1000;
    let host = Host::echo(builder());
    let over = Until::told();
    let drip = |streams: &mut [TcpStream], byte: &[u8]| {
        for stream in streams {
            // The shed ones are closed.
            let _ = stream.write_all(byte);
        }
    };
    thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut client = host.open();
            let mut count = 0;
            while !over.is_told() {
                echoes(&mut client, &format!("message {count}"));
                count += 1;
            }
            leave(client);
            count
        });
        let mut streams = Vec::new();
        for number in 0..DRIPPING {
            streams.push(host.dial());
            drip(&mut streams[number..], b"GET / HT");
            if number % 100 == 99 {
                drip(&mut streams, b"T");
                // Whoever comes with a whole request is served at once.
                let mut client = host.open();
                echoes(&mut client, "among many");
                leave(client);
            }
        }
        eventually("no more than 512 are asking", || host.connections().len() <= 512 + 1);
        let shed = host.refused(Refusal::Shed) as usize;
        assert!((DRIPPING - 512..=DRIPPING - 512 + 10).contains(&shed), "{shed} were shed");
        eventually("those are closed", || streams[..shed].iter().all(is_closed));
        assert!(!streams[shed..].iter().any(is_closed), "others were closed as well");
        over.tell();
        let count = honest.join().expect("it has lost nothing");
        assert!(count > 20, "{count} messages");
        assert_eq!(host.refused(Refusal::Timeout), 0);
        // The youngest is served still, when it asks at last.
        let last = streams.pop().expect("a stream");
        let request = request("");
        leave(opened(send_request(last, request.strip_prefix("GET / HTT").expect("so begins each"))));
    });
}

#[test]
fn bytes_that_drip_in_do_not_extend_the_time_for_an_opening_handshake() {
    let host = Host::echo(builder().handshake_timeout(Duration::from_millis(400)));
    let began = Instant::now();
    let mut stream = host.dial();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").expect("taken");
    while !is_closed(&stream) {
        let _ = stream.write_all(b"x");
        assert!(began.elapsed() < PATIENCE, "it drips for ever");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(host.refused(Refusal::Timeout), 1);
}

#[test]
fn what_another_thread_accepts_later_arrives_as_an_open_connection() {
    let (sender, requests) = mpsc::channel::<Request>();
    let sender = Mutex::new(sender);
    let decide = move |request| sender.lock().send(request).expect("somebody decides");
    let host = Host::accepting(builder().on_request(decide));
    let server = host.handle();
    let accepting = thread::spawn(move || server.accept(PATIENCE));
    let streams: Vec<_> = (0..3).map(|number| host.ask_for(&format!("/{number}"))).collect();
    let mut kept: Vec<_> = streams.iter().map(|_| requests.recv_timeout(PATIENCE).expect("a request")).collect();
    assert!(!accepting.is_finished(), "nothing is decided");
    kept.sort_by_key(|request| request.target().to_owned());
    let [first, second, third] = <[Request; 3]>::try_from(kept).expect("three");
    second.accept().expect("in time");
    let connection = join(accepting, PATIENCE).expect("no failure").expect("a connection");
    assert_eq!(&*connection.info().target, "/1");
    third.refuse(403).expect("in time");
    first.accept().expect("in time");
    let connections =
        [connection, host.accept(PATIENCE).expect("no failure").expect("a connection that was opened meanwhile")];
    assert_eq!(&*connections[1].info().target, "/0");
    assert_eq!(host.accept(Duration::ZERO).expect("no failure").map(|it| it.info().target.clone()), None);
    let statuses: Vec<_> = streams.into_iter().map(|mut stream| answer(&mut stream).map(|(it, _)| it)).collect();
    assert_eq!(statuses, [Some(101), Some(101), Some(403)]);
}

#[test]
fn what_nobody_asks_for_is_answered_at_the_deadline_and_decided_on_no_more() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let decide = move |request: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        let _ = request.accept();
    };
    let time = Duration::from_millis(400);
    let host = Host::accepting(builder().handshake_timeout(time).on_request(decide));
    let began = Instant::now();
    let streams: Vec<_> = (0..5).map(|_| host.ask("")).collect();
    for mut stream in streams {
        assert_eq!(status(&mut stream), 503);
    }
    assert!(began.elapsed() >= time);
    assert_eq!(host.refused(Refusal::Timeout), 5);
    assert!(host.accept(Duration::ZERO).expect("no failure").is_none());
    assert_eq!(asked.load(Ordering::Relaxed), 0, "requests that were answered are put to the application");
}

#[test]
fn each_request_has_its_own_deadline_whichever_is_complete_first() {
    let time = Duration::from_millis(3000);
    let host = Host::accepting(builder().handshake_timeout(time));
    let began = Instant::now();
    let mut slow = host.dial();
    slow.write_all(b"GET / HT").expect("taken");
    thread::sleep(Duration::from_millis(1500));
    let mut later = host.ask("");
    thread::sleep(Duration::from_millis(50));
    slow.write_all(request("").strip_prefix("GET / HT").expect("so it begins").as_bytes()).expect("taken");
    assert_eq!(status(&mut slow), 503);
    assert!(began.elapsed() >= time);
    assert!(!is_closed(&later), "it has 1.5 s more");
    assert_eq!(status(&mut later), 503);
    assert!(began.elapsed() >= time + Duration::from_millis(1500));
}

#[test]
fn accept_keeps_its_timeout_while_a_decision_is_pending() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let host = Host::accepting(builder().on_request(move |request| keep.lock().push(request)));
    let stream = host.ask("");
    let began = Instant::now();
    let time = Duration::from_millis(500);
    assert!(host.accept(time).expect("no failure").is_none());
    let taken = began.elapsed();
    assert!((time..time + Duration::from_secs(5)).contains(&taken), "{taken:?}");
    kept.lock().pop().expect("the request has come").accept().expect("in time");
    let mut connection = host.accept(Duration::ZERO).expect("no failure").expect("it waits already");
    let mut client = opened(stream);
    client.send(text("hello"));
    assert_eq!(connection.next_message(), Ok(Some("hello".into())));
}

#[test]
fn a_request_that_is_decided_on_for_too_long_is_answered_at_the_deadline() {
    let gate = Gate::default();
    let outcome = Arc::new(Mutex::new(None));
    let (waits, noted) = (gate.clone(), Arc::clone(&outcome));
    let decide = move |request: Request| {
        waits.wait();
        *noted.lock() = Some(request.accept());
    };
    let time = Duration::from_millis(400);
    let host = Host::echo(builder().handshake_timeout(time).on_request(decide));
    let began = Instant::now();
    let mut stream = host.ask("");
    gate.expect(1);
    // The decision is still being made.
    assert_eq!(status(&mut stream), 503);
    assert!(began.elapsed() >= time);
    gate.open();
    eventually("the decision is made", || outcome.lock().is_some());
    assert_eq!(*outcome.lock(), Some(Err(DecisionError::TooLate)));
    assert_eq!((host.refused(Refusal::Timeout), host.metrics().opened), (1, 0));
    eventually("its place is free", || host.connections().is_empty());
}
