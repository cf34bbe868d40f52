//! Who a client is, and how many connections it may have.

use std::net::TcpStream;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use parking_lot::Mutex;
use raddle_core::{OpCode, Role};
use raddle_server::{
    Acceptance, Builder, Cause, DecisionError, End, IdentityPolicy, Phase, Refusal, Request, Server, Surplus,
};

use crate::support::*;

/// Takes each client for whom its request says it is.
fn identify(request: Request) -> Result<(), DecisionError> {
    let identity = request.header("User").map(|name| String::from_utf8_lossy(name).into_owned());
    match identity {
        Some(identity) => request.accept_with(Acceptance::new().identity(identity)),
        None => request.accept(),
    }
}

/// A server that allows so many connections of an identity.
fn allowing(allowed: usize, surplus: Surplus) -> Builder {
    let decide = |request| match identify(request) {
        Ok(()) | Err(DecisionError::IdentityTaken) => {}
        Err(error) => panic!("{error}"),
    };
    builder().identity_policy(IdentityPolicy { allowed, surplus }).on_request(decide)
}

const ADA: &str = "User: ada\r\n";
const BOB: &str = "User: bob\r\n";

/// The numbers of the open connections of an identity, in the order given.
fn open_of(server: &Server, identity: &str) -> Vec<u64> {
    server.connections_of(identity).iter().map(|it| it.id.get()).collect()
}

#[test]
fn one_more_is_refused_with_409() {
    let host = Host::echo(allowing(1, Surplus::Refuse));
    let mut first = host.open_with(ADA);
    assert_eq!(status(&mut host.ask(ADA)), 409);
    echoes(&mut first, "it stays");
    leave(host.open_with(BOB));
    let metrics = host.metrics();
    assert_eq!((metrics.opened, metrics.refused[&Refusal::Identity]), (2, 1));
    leave(first);
    eventually("the place is free again", || matches!(answer(&mut host.ask(ADA)), Some((101, _))));
}

#[test]
fn one_more_is_opened_and_closed_in_one_breath() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let host = Host::start(allowing(1, Surplus::Close), move |reader, writer| {
        counted.fetch_add(1, Ordering::Relaxed);
        echo(reader, writer)
    });
    let mut first = host.open_with(ADA);
    let mut second = host.open_with(ADA);
    assert_eq!(second.frame(), close(4409, "this client is connected already"));
    second.expect_end();
    echoes(&mut first, "it stays");
    assert_eq!(served.load(Ordering::Relaxed), 1, "the handler has seen it");
    let metrics = host.metrics();
    assert_eq!((metrics.opened, metrics.refused[&Refusal::Identity]), (1, 1));
    assert!(metrics.ended.is_empty());
    assert_eq!(open_of(&host, "ada").len(), 1);
    leave(first);
}

#[test]
fn one_more_takes_the_place_of_the_oldest_which_stops_counting_at_once() {
    let ends = Arc::new(Mutex::new(Vec::<End>::new()));
    let noted = Arc::clone(&ends);
    let host = Host::start(allowing(1, Surplus::ReplaceOldest), move |mut reader, writer| {
        while let Ok(Some(message)) = reader.next_message() {
            writer.send(message)?;
        }
        noted.lock().extend(reader.end().cloned());
        Ok(())
    });
    let mut first = host.open_with(ADA);
    let first_id = open_of(&host, "ada")[0];
    let mut second = host.open_with(ADA);
    assert_eq!(first.frame(), close(4409, "this client is connected already"));
    // It has not answered, and so is closing; that makes no difference.
    assert_eq!(host.connections().iter().filter(|it| it.phase == Phase::Closing).count(), 1);
    let second_id = open_of(&host, "ada");
    assert!(second_id.len() == 1 && second_id[0] != first_id);
    echoes(&mut second, "served");
    first.send(close(4409, ""));
    first.expect_end();
    eventually("its handler has returned", || ends.lock().len() == 1);
    let end = ends.lock()[0].clone();
    assert_eq!((end.cause, end.sent.map(|code| code.0), end.is_clean()), (Cause::Replaced, Some(4409), true));
    assert_eq!(host.ended(Cause::Replaced), 1);
    assert_eq!(open_of(&host, "ada"), second_id, "the end of the first changes nothing");
    assert_eq!(host.refused(Refusal::Identity), 0);
    leave(second);
}

#[test]
fn as_many_as_are_allowed_are_served_and_zero_counts_as_one() {
    for (allowed, served) in [(3, 3), (0, 1)] {
        let host = Host::echo(allowing(allowed, Surplus::Refuse));
        let mut clients: Vec<_> = (0..served).map(|_| host.open_with(ADA)).collect();
        assert_eq!(status(&mut host.ask(ADA)), 409);
        clients.iter_mut().for_each(|client| echoes(client, "served"));

        let host = Host::echo(allowing(allowed, Surplus::ReplaceOldest));
        let mut clients: Vec<_> = (0..served + 2).map(|_| host.open_with(ADA)).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            if number < 2 { assert_eq!(close_code(client), 4409) } else { echoes(client, "served") }
        }
    }
}

#[test]
fn of_twenty_that_arrive_at_the_same_instant_exactly_as_many_remain_as_are_allowed() {
    const ARRIVING: usize = 20;
    for (surplus, allowed) in [
        (Surplus::Refuse, 1),
        (Surplus::Refuse, 3),
        (Surplus::Close, 1),
        (Surplus::Close, 3),
        (Surplus::ReplaceOldest, 1),
        (Surplus::ReplaceOldest, 3),
    ] {
        for _ in 0..3 {
            let instant = Arc::new(Barrier::new(ARRIVING));
            let policy = IdentityPolicy { allowed, surplus };
            let decide = move |request| {
                instant.wait();
                let accepted = identify(request);
                assert!(matches!(accepted, Ok(()) | Err(DecisionError::IdentityTaken)), "{accepted:?}");
            };
            let host = Host::echo(builder().identity_policy(policy).on_request(decide));
            let mut streams: Vec<_> = (0..ARRIVING).map(|_| host.ask(ADA)).collect();
            // With the last answer all decisions are made, and whoever had to go for one was told before.
            let answers: Vec<_> = streams.iter_mut().map(|stream| answer(stream).expect("an answer")).collect();
            let fates: Vec<_> = streams.into_iter().zip(answers).map(fate).collect();
            let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
            let served = count(|fate| matches!(fate, Fate::Served(_)));
            let refused = count(|fate| matches!(fate, Fate::Refused(409)));
            let closed = count(|fate| matches!(fate, Fate::Closed(4409)));
            assert_eq!(served, allowed, "{surplus:?}");
            assert_eq!(if surplus == Surplus::Refuse { refused } else { closed }, ARRIVING - allowed, "{surplus:?}");
            assert_eq!(open_of(&host, "ada").len(), allowed);
            let opened = if surplus == Surplus::ReplaceOldest { ARRIVING } else { allowed };
            assert_eq!(host.metrics().opened, opened as u64, "{surplus:?}");
        }
    }
}

/// What becomes of a client.
enum Fate {
    Served(#[expect(dead_code, reason = "held open")] Box<Client>),
    Refused(u16),
    Closed(u16),
}

fn fate((stream, (status, received)): (TcpStream, (u16, Vec<u8>))) -> Fate {
    if status != 101 {
        return Fate::Refused(status);
    }
    let mut client = Client::with_received(stream, Role::Client, received);
    client.send(text("served?"));
    match client.frame() {
        frame if frame == text("served?") => Fate::Served(Box::new(client)),
        frame => Fate::Closed(u16::from_be_bytes(*frame.payload.first_chunk().expect("a code"))),
    }
}

#[test]
fn a_slot_is_free_when_the_handshake_fails_the_connection_ends_or_the_handler_panics() {
    let gate = Gate::default();
    let at_gate = gate.clone();
    let policy = IdentityPolicy { allowed: 1, surplus: Surplus::Refuse };
    let decide = move |request: Request| match request.path() {
        // Accepted with an answer that breaks a rule.
        "/wrong" => {
            let acceptance = Acceptance::new().identity("ada").header("Upgrade", "h2c");
            assert!(matches!(request.accept_with(acceptance), Err(DecisionError::Response(_))));
        }
        "/slow" => {
            at_gate.wait();
            request.accept_with(Acceptance::new().identity("ada")).expect("in time");
        }
        _ => {
            let _ = request.accept_with(Acceptance::new().identity("ada"));
        }
    };
    let host = Host::start(builder().identity_policy(policy).on_request(decide), |reader, writer| {
        match &*reader.info().target {
            "/panic" => resume_unwind(Box::new("as asked")),
            "/return" => Ok(()),
            _ => echo(reader, writer),
        }
    });
    let is_free = || match answer(&mut host.ask("")) {
        Some((101, _)) => true,
        Some((409, _)) => false,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(&mut host.ask_for("/wrong")), 500);
    assert!(is_free(), "it was never taken");
    // The client has gone before it is accepted.
    eventually("none is left", || host.connections().is_empty());
    reset(host.ask_for("/slow"));
    gate.expect(1);
    gate.open();
    eventually("free after a failed handshake", is_free);
    type Ending = (&'static str, fn(&Host));
    let ends: [Ending; 4] = [
        ("free after a Close", |host| leave(host.open())),
        ("free after a reset", |host| reset(host.open().stream)),
        ("free after a panic", |host| assert_eq!(close_code(&mut opened(host.ask_for("/panic"))), 1011)),
        ("free after the handler", |host| assert_eq!(close_code(&mut opened(host.ask_for("/return"))), 1000)),
    ];
    for (what, end) in ends {
        eventually("none is left", || host.connections().is_empty());
        end(&host);
        eventually(what, is_free);
    }
    eventually("none is left", || host.connections().is_empty());
    assert_eq!(open_of(&host, "ada"), [0; 0]);
}

#[test]
fn the_connections_of_an_identity_are_listed_the_oldest_first() {
    // Without a policy there may be any number, and they are listed all the same.
    for builder in [builder().on_request(|it| identify(it).expect("in time")), allowing(10, Surplus::Refuse)] {
        let (sender, ids) = mpsc::channel();
        let sender = Mutex::new(sender);
        let host = Host::start(builder, move |reader, writer| {
            sender.lock().send(reader.info().id)?;
            echo(reader, writer)
        });
        let id_of = |client| (client, ids.recv_timeout(PATIENCE).expect("the handler runs"));
        // The places of these are used again, so that the order of the numbers is not that of time.
        let earlier: Vec<_> = (0..4).map(|_| host.open()).collect();
        earlier.iter().for_each(|_| assert!(ids.recv_timeout(PATIENCE).is_ok()));
        earlier.into_iter().for_each(leave);
        eventually("all have gone", || host.connections().is_empty());
        let mut of_ada: Vec<_> = (0..6).map(|_| id_of(host.open_with(ADA))).collect();
        let (_bob, of_bob) = id_of(host.open_with(BOB));
        let (_nobody, _) = id_of(host.open());
        assert_eq!(open_of(&host, "ada"), of_ada.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        leave(of_ada.remove(1).0);
        eventually("one is less", || open_of(&host, "ada").len() == 5);
        of_ada.push(id_of(host.open_with(ADA)));
        assert_eq!(open_of(&host, "ada"), of_ada.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        assert_eq!(open_of(&host, "bob"), [of_bob]);
        assert_eq!(open_of(&host, "eve"), [0; 0]);
        let told = host.connections_of("bob").remove(0);
        assert_eq!(told.info.expect("it is open").identity.as_deref(), Some("bob"));
    }
}

#[test]
fn clients_that_replace_each_other_without_end_leave_one() {
    let host = Host::echo(allowing(1, Surplus::ReplaceOldest));
    let closed: usize = thread::scope(|scope| {
        let clients = (0..4).map(|_| {
            scope.spawn(|| {
                let mut closed = 0;
                for _ in 0..40 {
                    let mut client = host.open_with(ADA);
                    client.send(text("mine?"));
                    // It may be replaced at any moment, by the next of its own at the latest.
                    closed += usize::from(client.frame().opcode == OpCode::Close);
                }
                closed
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("each is served or closed")).sum()
    });
    let mut last = host.open_with(ADA);
    echoes(&mut last, "the last one has the place");
    assert_eq!(open_of(&host, "ada").len(), 1);
    eventually("it alone is left", || host.connections().len() == 1);
    assert!(closed < 160, "none was ever served");
    assert_eq!(host.metrics().opened, 161);
    leave(last);
}
