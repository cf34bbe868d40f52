//! Handlers that panic, and handlers that use the server from inside.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use raddle_server::{ConnectionId, HandlerError, Message, Refusal, Server, Writer};

use crate::support::*;

#[test]
fn after_a_thousand_panics_in_a_row_the_server_serves() {
    // Hostile input 288, scaled down.
    let open = |writer: &Writer| match &*writer.info().target {
        // A panic without the panic hook, and so without a thousand reports.
        "/panic" => resume_unwind(Box::new("as asked")),
        "/odd" => resume_unwind(Box::new(7)),
        _ => Ok(()),
    };
    let host = Host::acting(builder(), open, send_back);
    let mut beside = host.open();
    for number in 0..1000 {
        let mut client = opened(host.ask_for(if number % 10 == 0 { "/odd" } else { "/panic" }));
        assert_eq!(client.frame(), close(1011, ""));
        client.send(close(1011, ""));
        client.expect_end();
        if number % 100 == 0 {
            echoes(&mut beside, "nothing has happened");
        }
    }
    leave(host.open());
    leave(beside);
    eventually("all are counted", || host.ended(raddle_server::Cause::HandlerFailed) == 1000);
}

#[test]
fn after_a_thousand_panics_over_requests_the_server_serves() {
    // Hostile input 288: in the decision on a request.
    let host = Host::echo(builder().on_request(|request| match request.path() {
        "/panic" => resume_unwind(Box::new(String::from("as asked"))),
        // The decision was made before.
        "/late" => {
            request.accept().expect("in time");
            resume_unwind(Box::new("too late to matter"));
        }
        _ => request.accept().expect("in time"),
    }));
    let mut beside = host.open();
    for number in 0..1000 {
        assert_eq!(status(&mut host.ask_for("/panic")), 500);
        if number % 100 == 0 {
            echoes(&mut beside, "nothing has happened");
        }
    }
    assert_eq!(host.refused(Refusal::Application), 1000);
    let mut late = opened(host.ask_for("/late"));
    echoes(&mut late, "it was accepted");
    leave(late);
    leave(beside);
}

#[test]
fn a_panic_under_a_lock_of_the_applications_poisons_nothing_of_ours() {
    // Hostile input 289.
    let clients = Arc::new(Mutex::new(Vec::<Writer>::new()));
    let (of_open, of_handler) = (Arc::clone(&clients), Arc::clone(&clients));
    let open = move |writer: &Writer| {
        of_open.lock().unwrap_or_else(PoisonError::into_inner).push(writer.clone());
        Ok(())
    };
    let act = move |writer: &Writer, message: Message<'_>| {
        let clients = of_handler.lock().unwrap_or_else(PoisonError::into_inner);
        if message == Message::Text("panic") {
            // With the lock held, and with a message on its way to its own peer.
            writer.send("goodbye")?;
            resume_unwind(Box::new("as asked"));
        }
        for client in &*clients {
            // It may have left.
            let _ = client.send(message);
        }
        Ok(())
    };
    let host = Host::acting(builder(), open, act);
    let mut first = host.open();
    let mut second = host.open();
    echoes(&mut first, "before");
    second.send(text("panic"));
    // What was said before is heard, by whoever was there.
    while second.frame() != text("goodbye") {}
    assert_eq!(close_code(&mut second), 1011);
    second.send(close(1011, ""));
    second.expect_end();
    assert!(clients.is_poisoned());
    echoes(&mut first, "after");
    eventually("it is gone", || host.connections().len() == 1);
    let mut third = host.open();
    third.send(text("to all"));
    assert_eq!((third.frame(), first.frame()), (text("to all"), text("to all")));
    clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A handler that does with its server what its client says.
fn obey(server: &Server, writer: &Writer, message: Message<'_>) -> Result<(), HandlerError> {
    let own = ConnectionId::of(writer.info());
    let Message::Text(order) = message else { return Ok(()) };
    match order {
        "count" => {
            let (connections, metrics) = (server.connections(), server.metrics());
            assert_eq!(connections.len(), metrics.connections);
            assert!(connections.iter().any(|it| it.id == own));
            writer.send(connections.len().to_string().as_str())?;
        }
        "to others" => {
            for other in server.connections().iter().filter(|it| it.id != own) {
                server.connection(other.id).expect("open").send("from another")?;
            }
        }
        "a thousand" => (0..1000).try_for_each(|_| writer.send("again").map(drop))?,
        "close others" => {
            for other in server.connections().iter().filter(|it| it.id != own) {
                let close = raddle_server::Close::code(raddle_server::CloseCode::POLICY);
                server.connection(other.id).expect("open").close(close)?;
            }
        }
        "join" => {
            // It waits for itself, and so for the whole time.
            let running = server.join(Duration::from_millis(20)).expect_err("this one runs");
            assert!(running.handlers.contains(&own));
            writer.send("still here")?;
        }
        "drain" => server.drain(),
        "stop" => server.stop(PATIENCE),
        "start" => {
            server.start(echo).expect_err("it serves already");
            assert!(server.accept(Duration::ZERO)?.is_none());
            writer.send("no")?;
        }
        order => panic!("{order}?"),
    }
    Ok(())
}

#[test]
fn a_handler_may_do_anything_with_its_server() {
    // Hostile inputs 284 and 290.
    let handle = Arc::new(OnceLock::<Server>::new());
    let (of_decision, of_handler) = (Arc::clone(&handle), Arc::clone(&handle));
    let builder = builder().on_request(move |request| {
        let server = of_decision.get().expect("set");
        // The request's own connection is one of them.
        assert_eq!(server.connections().len(), server.metrics().connections);
        assert!(server.connections_of("nobody").is_empty());
        request.accept().expect("in time");
    });
    let server = builder.build().expect("a server");
    assert!(handle.set(server.clone()).is_ok());
    let act = move |writer: &Writer, message: Message<'_>| obey(of_handler.get().expect("set"), writer, message);
    ENGINE.start(&server, act).expect("it starts");
    let open = || opened(send_request(dial(server.local_addr()), &request("")));
    let [mut one, mut other, mut third] = [open(), open(), open()];
    let order = |client: &mut Client, order: &str| client.send(text(order));
    for client in [&mut one, &mut other, &mut third] {
        order(client, "count");
        assert_eq!(client.frame(), text("3"));
    }
    order(&mut one, "to others");
    assert_eq!((other.frame(), third.frame()), (text("from another"), text("from another")));
    order(&mut one, "a thousand");
    (0..1000).for_each(|_| assert_eq!(one.frame(), text("again")));
    order(&mut one, "join");
    assert_eq!(one.frame(), text("still here"));
    order(&mut one, "start");
    assert_eq!(one.frame(), text("no"));
    order(&mut other, "drain");
    order(&mut one, "close others");
    for mut closed in [other, third] {
        assert_eq!(close_code(&mut closed), 1008);
        closed.send(close(1008, ""));
        closed.expect_end();
    }
    order(&mut one, "stop");
    assert_eq!(close_code(&mut one), 1001);
    one.send(close(1001, ""));
    one.expect_end();
    server.join(PATIENCE).expect("all handlers have returned");
}
