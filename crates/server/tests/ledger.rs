//! A ledger of the messages between many clients and a server: what was sent, what was delivered, and what has come back.

mod common;

use std::collections::HashMap;
use std::io::{ErrorKind, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use raddle_core::OpCode;
use raddle_server::{HandlerError, Message, Server, Writer};

/// The numbers of the messages that were delivered of each client, in their order.
type Ledger = Arc<Mutex<HashMap<u64, Vec<u64>>>>;

/// A server that enters what it gets, and sends it back.
fn keeping(engine: Engine, ledger: &Ledger) -> Server {
    let server = listening(|builder| builder.workers(2));
    let ledger = Arc::clone(ledger);
    let enter = move |writer: &Writer, message: Message<'_>| -> Result<(), HandlerError> {
        let (client, number) = entry(message.as_bytes());
        ledger.lock().entry(client).or_default().push(number);
        writer.send(message)?;
        Ok(())
    };
    engine.start(&server, enter).expect("it starts");
    server
}

/// A message of a client: whose it is, which it is, and something to carry.
fn message(client: u64, number: u64, length: usize) -> Vec<u8> {
    [&client.to_be_bytes()[..], &number.to_be_bytes(), &pattern(length, client << 32 | number)].concat()
}

/// What a message says, which has to be whole.
fn entry(bytes: &[u8]) -> (u64, u64) {
    let (client, rest) = bytes.split_first_chunk().expect("whose it is");
    let (number, carried) = rest.split_first_chunk().expect("which it is");
    let (client, number) = (u64::from_be_bytes(*client), u64::from_be_bytes(*number));
    assert!(carried == pattern(carried.len(), client << 32 | number), "message {number} of {client} is damaged");
    (client, number)
}

/// Numbers that nobody has to foresee, and the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What a client knows of its connection.
struct Account {
    client: u64,
    sent: u64,
    returned: u64,
    is_clean: bool,
}

impl Account {
    fn take_back(&mut self, frame: &Frame) {
        assert!(frame.opcode == OpCode::Binary && frame.fin, "{frame:?}");
        assert_eq!(entry(&frame.payload), (self.client, self.returned));
        self.returned += 1;
    }
}

/// Connects, sends, takes back, and ends the connection in one way or another.
fn talk(server: &Server, number: u64) -> Account {
    let mut dice = Dice(number);
    let mut client = connect(server);
    let mut account = Account { client: number, sent: 0, returned: 0, is_clean: false };
    for _ in 0..1 + dice.roll(12) {
        let mut bytes = Vec::new();
        for _ in 0..dice.roll(8) {
            let length = [0, 100, 3_000, 70_000][dice.roll(4) as usize];
            bytes.extend(client.encode(&binary(&message(number, account.sent, length))));
            account.sent += 1;
        }
        client.send_bytes(&bytes);
        for _ in 0..dice.roll(1 + account.sent - account.returned) {
            account.take_back(&client.frame());
        }
    }
    match dice.roll(3) {
        0 => {
            rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
            return account;
        }
        1 => client.stream.shutdown(Shutdown::Write).expect("a connected socket"),
        _ => {
            account.is_clean = true;
            client.stream.write_all(&client.encode(&close(1000, ""))).expect("the server reads");
        }
    }
    loop {
        match client.next_frame(LIMIT) {
            Ok(Some(frame)) if frame.opcode == OpCode::Close => {
                assert_eq!(frame, close(1000, ""));
                assert!(account.is_clean);
                client.expect_end();
                return account;
            }
            Ok(Some(frame)) => account.take_back(&frame),
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!account.is_clean, "there was no Close");
    account
}

#[test]
fn every_message_of_a_connection_that_was_closed_is_delivered_once_and_of_others_the_first_ones() {
    // Hostile input 377.
    for engine in ENGINES {
        let ledger = Ledger::default();
        let server = keeping(engine, &ledger);
        let clients: Vec<_> = (0..6_u64)
            .map(|first| {
                let server = server.clone();
                thread::spawn(move || (0..12).map(|round| talk(&server, first * 12 + round)).collect::<Vec<_>>())
            })
            .collect();
        let accounts: Vec<_> = clients.into_iter().flat_map(|thread| join(thread, 3 * LIMIT)).collect();
        eventually("all have left", || server.connections().is_empty());
        finish(&server);
        let ledger = ledger.lock();
        for account in &accounts {
            let delivered = ledger.get(&account.client).map_or(&[][..], Vec::as_slice);
            let count = delivered.len() as u64;
            assert!(delivered.iter().copied().eq(0..count), "{engine:?}, client {}: {delivered:?}", account.client);
            assert!(account.returned <= count && count <= account.sent, "{engine:?}, client {}", account.client);
            if account.is_clean {
                assert_eq!((count, account.returned), (account.sent, account.sent), "client {}", account.client);
            }
        }
        let clean = accounts.iter().filter(|account| account.is_clean).count();
        assert!((10..accounts.len() - 10).contains(&clean), "{clean} of {} were closed", accounts.len());
    }
}
