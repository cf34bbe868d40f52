//! Where a server listens: TCP, Unix sockets, sockets that it is given.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;

use raddle_core::handshake::{Hosts, Origins};
use raddle_server::{Refusal, Server};
use rustix::net::Shutdown;

use crate::support::*;

fn error_of<T>(result: io::Result<T>) -> io::Error {
    result.map(drop).expect_err("an error")
}

#[test]
fn all_listeners_of_a_server_are_served_and_closed_with_it() {
    let directory = Directory::new("listeners");
    let (bound, given) = (directory.join("bound"), directory.join("given"));
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let third = tcp.local_addr().expect("bound");
    let unix = UnixListener::bind(&given).expect("a socket");
    let builder = builder().bind("[::1]:0").and_then(|it| it.tcp_listener(tcp)).expect("listeners");
    let builder = builder.bind_unix(&bound).and_then(|it| it.unix_listener(unix)).expect("listeners");
    let host = Host::echo(builder);
    let addresses = host.local_addrs().to_vec();
    assert!(addresses.len() == 3 && addresses[0] == host.local_addr() && addresses[1].is_ipv6());
    assert_eq!(addresses[2], third);
    let mut clients: Vec<_> =
        addresses.iter().map(|address| opened(send_request(dial(*address), &request("")))).collect();
    clients.iter_mut().for_each(|client| echoes(client, "over TCP"));
    for path in [&bound, &given] {
        let mut client = opened(ask_unix(path, ""));
        echoes(&mut client, "over a Unix socket");
        leave(client);
    }
    eventually("those of the Unix sockets have left", || host.connections().len() == 3);
    clients.into_iter().for_each(leave);
    drop(host);
    for address in addresses {
        // Another test may have been given the port meanwhile.
        eventually("nobody listens there", || {
            TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
    }
    assert!(!bound.exists(), "the file that was made is removed");
    assert!(given.exists(), "the file that was given is not");
    assert_eq!(error_of(UnixStream::connect(&given)).kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_file_is_replaced_when_nobody_listens_to_it_and_only_then() {
    // Hostile input 267.
    let directory = Directory::new("listeners");
    let path = directory.join("socket");
    // What a server has left that is no more.
    drop(UnixListener::bind(&path).expect("a socket"));
    let host = Host::echo(Server::builder().bind_unix(&path).expect("in place of the old one"));
    leave(opened(ask_unix(&path, "")));
    // Somebody listens.
    assert_eq!(error_of(Server::builder().bind_unix(&path)).kind(), ErrorKind::AddrInUse);
    leave(opened(ask_unix(&path, "")));
    // Another server has taken the path meanwhile: its file is not ours to remove.
    fs::remove_file(&path).expect("it is there");
    let other = UnixListener::bind(&path).expect("a socket");
    drop(host);
    assert!(path.exists());
    drop(other);

    let regular = directory.join("notes");
    fs::write(&regular, "important").expect("a file");
    assert_eq!(error_of(Server::builder().bind_unix(&regular)).kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(&regular).expect("it is there"), "important");
}

#[test]
fn a_server_that_has_no_time_to_accept_is_not_taken_for_dead() {
    let directory = Directory::new("listeners");
    let path = directory.join("socket");
    let busy = UnixListener::bind(&path).expect("a socket");
    rustix::net::listen(&busy, 0).expect("a shorter queue");
    let waiting = UnixStream::connect(&path).expect("it fills the queue");
    let bound = path.clone();
    let error = within(PATIENCE, move || error_of(Server::builder().bind_unix(bound)));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(fs::metadata(&path).expect("it is there").file_type().is_socket());
    drop((waiting, busy));
}

#[test]
fn a_socket_file_goes_with_its_server_also_where_that_never_served() {
    let directory = Directory::new("listeners");
    let path = directory.join("socket");
    let bind = || Server::builder().bind_unix(&path).expect("a socket");
    drop(bind());
    assert!(!path.exists(), "of a builder");
    drop(bind().build().expect("a server"));
    assert!(!path.exists(), "of a server that was dropped");
    let server = bind().build().expect("a server");
    server.stop(PATIENCE);
    assert!(!path.exists(), "of a server that was stopped before it began");
    start_echo(&server).expect("it ends at once");
    server.join(PATIENCE).expect("nothing runs");
}

#[test]
fn a_place_where_nobody_can_listen_is_a_clear_error_and_what_was_bound_before_is_free_again() {
    // Hostile input 267.
    let directory = Directory::new("listeners");
    let path = directory.join("socket");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let before = || Server::builder().bind(free).and_then(|it| it.bind_unix(&path)).expect("listeners");
    let too_long = directory.join(&"x".repeat(200));
    let missing = directory.join("no such/socket");
    let failures: [(io::Error, ErrorKind); 5] = [
        (error_of(before().bind(taken.local_addr().expect("bound"))), ErrorKind::AddrInUse),
        // For documentation, and so nobody's.
        (error_of(before().bind("192.0.2.1:0")), ErrorKind::AddrNotAvailable),
        (error_of(before().bind("127.0.0.1")), ErrorKind::InvalidInput),
        (error_of(before().bind_unix(&too_long)), ErrorKind::InvalidInput),
        (error_of(before().bind_unix(&missing)), ErrorKind::NotFound),
    ];
    for (error, kind) in failures {
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert!(!too_long.exists() && !path.exists());
    let host = Host::echo(before());
    leave(host.open());
    leave(opened(ask_unix(&path, "")));
}

#[test]
fn a_server_that_could_never_be_met_as_it_is_set_up_is_not_made() {
    let list = |entry: &str| vec!["example.com".to_owned(), entry.to_owned()];
    let builders = [
        builder().origins(Origins::List(list("https://example.com/page"))),
        builder().hosts(Hosts::List(list("https://example.com"))),
        builder().subprotocol("chat").subprotocol("a, b"),
    ];
    for builder in builders {
        let error = error_of(builder.build());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("is no "), "{error}");
    }
}

#[test]
fn a_listener_that_breaks_ends_the_server_and_serve_says_why() {
    // Hostile input 255.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other_handle = listener.try_clone().expect("a clone");
    let server = Server::builder().tcp_listener(listener).and_then(|it| it.build()).expect("a server");
    let serving = server.clone();
    let serving = thread::spawn(move || serve_echo(&serving));
    let mut client = opened(send_request(dial(server.local_addr()), &request("")));
    echoes(&mut client, "before");
    // It does not listen any more: accept(2) gives EINVAL from now on.
    rustix::net::shutdown(&other_handle, Shutdown::Read).expect("it listens");
    assert_eq!(client.frame(), close(1001, "the server stops"));
    client.send(close(1001, ""));
    client.expect_end();
    let error = error_of(join(serving, PATIENCE));
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    server.join(PATIENCE).expect("it has ended");
}

/// Says to this test's program, started again by the test, what it is.
const ROLE: &str = "RADDLE_TEST_ROLE";

#[test]
fn the_sockets_that_a_process_was_started_with_are_served() {
    match std::env::var(ROLE).as_deref() {
        Ok("serve") => return serve_inherited(),
        Ok("foreign") => return expect_none(),
        _ => {}
    }
    expect_none();
    let directory = Directory::new("listeners");
    let path = directory.join("socket");
    let sockets = || {
        let _ = fs::remove_file(&path);
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = tcp.local_addr().expect("bound");
        (tcp, UnixListener::bind(&path).expect("a socket"), address)
    };
    let (tcp, unix, address) = sockets();
    let child = start(tcp, unix, "serve", "$$");
    let mut over_tcp = opened(send_request(dial(address), &request("")));
    echoes(&mut over_tcp, "over TCP");
    let mut over_unix = opened(ask_unix(&path, ""));
    echoes(&mut over_unix, "over a Unix socket");
    over_unix.send(text("stop"));
    assert_eq!(close_code(&mut over_tcp), 1001);
    over_tcp.send(close(1001, ""));
    over_tcp.expect_end();
    assert_eq!(close_code(&mut over_unix), 1001);
    over_unix.send(close(1001, ""));
    over_unix.expect_end();
    end(child);
    assert!(path.exists(), "the file is whoever's that has passed the socket");
    // The sockets are meant for another process.
    let (tcp, unix, _) = sockets();
    end(start(tcp, unix, "foreign", "1"));
}

/// Starts this test again, with sockets as systemd passes them.
fn start(tcp: TcpListener, unix: UnixListener, role: &str, pid: &str) -> std::process::Child {
    let script = format!(
        "exec 3<&0 4>&1 0</dev/null 1>&2; export LISTEN_FDS=2 LISTEN_PID={pid} {ROLE}={role}; exec \"$0\" \"$@\""
    );
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "listeners::the_sockets_that_a_process_was_started_with_are_served", "--nocapture"])
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(unix)))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

fn end(mut child: std::process::Child) {
    let mut stderr = child.stderr.take().expect("a pipe");
    let said = thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).map(|_| said)
    });
    let mut status = None;
    eventually("the process ends", || {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    let said = join(said, PATIENCE).expect("text");
    assert!(status.is_some_and(|status| status.success()) && said.contains("1 passed"), "{said}");
}

fn serve_inherited() {
    let builder = Server::builder().inherited_listeners().expect("two sockets");
    assert_eq!(error_of(Server::builder().inherited_listeners()).kind(), ErrorKind::NotFound, "they are taken");
    let handle = Arc::new(OnceLock::<Server>::new());
    let of_handler = Arc::clone(&handle);
    let server = builder.build().expect("a server");
    handle.set(server.clone()).expect("the first");
    assert_eq!(server.local_addrs().len(), 1);
    let handler = move |mut reader: raddle_server::Reader, writer: raddle_server::Writer| {
        while let Some(message) = reader.next_message()? {
            match message {
                raddle_server::Message::Text("stop") => of_handler.get().expect("set").stop(PATIENCE),
                message => drop(writer.send(message)?),
            }
        }
        Ok(())
    };
    server.serve(handler).expect("it serves until it is stopped");
    assert_eq!(server.metrics().refused.get(&Refusal::Gone), None);
}

/// No sockets were passed to this process.
fn expect_none() {
    assert_eq!(error_of(Server::builder().inherited_listeners()).kind(), ErrorKind::NotFound);
}
