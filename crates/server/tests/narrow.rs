//! Sockets that take little at a time: messages pass in many short writes and reads, whole and in order.

mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

use common::*;
use raddle_server::Server;
use rustix::net::sockopt;

#[test]
fn sockets_with_the_smallest_buffers_carry_everything() {
    // Hostile inputs 261 and 263: what is accepted has the buffers of the socket that listens.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    sockopt::set_socket_send_buffer_size(&listener, 1).expect("an option");
    sockopt::set_socket_recv_buffer_size(&listener, 1).expect("an option");
    let builder = Server::builder().tcp_listener(listener).expect("it listens").workers(WORKERS);
    let server = builder.build().expect("a server");
    start_echo(&server).expect("it starts");
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for length in [0, 1, 125, 126, 5_000, 65_535, 65_536, 200_000] {
        let messages = clients.iter().zip(0_u64..).map(|(_, seed)| binary(&pattern(length, seed)));
        let messages: Vec<_> = messages.collect();
        let sending: Vec<_> = clients
            .iter()
            .zip(&messages)
            .map(|(client, message)| {
                let (bytes, mut stream) = (client.encode(message), client.stream.try_clone().expect("a descriptor"));
                thread::spawn(move || stream.write_all(&bytes).expect("it is taken"))
            })
            .collect();
        for (client, message) in clients.iter_mut().zip(&messages) {
            assert!(client.frame() == *message, "{length} bytes");
        }
        sending.into_iter().for_each(|thread| join(thread, LIMIT));
    }
    clients.into_iter().for_each(say_goodbye);
    finish(&server);
}
