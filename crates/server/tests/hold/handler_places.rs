//! Places of handlers that have a thread each: whose client has left, and who computes on.

use raddle_server::Refusal;

use crate::support::*;

#[test]
fn a_client_that_leaves_while_its_handler_computes_makes_no_room_for_another_thread() {
    type Cap = (fn(raddle_server::Builder) -> raddle_server::Builder, Refusal);
    let caps: [Cap; 2] = [
        (|builder| builder.max_connections(2), Refusal::ServerFull),
        (|builder| builder.max_connections_per_ip(2), Refusal::AddressFull),
    ];
    for (cap, refusal) in caps {
        let gate = Gate::default();
        let at_gate = gate.clone();
        let host = Host::start(cap(builder()), move |_reader, _writer| {
            at_gate.wait();
            Ok(())
        });
        let computing = [host.open(), host.open()];
        gate.expect(2);
        computing.into_iter().for_each(|client| reset(client.stream));
        eventually("the server knows that they have gone", || host.metrics().ended.values().sum::<u64>() == 2);
        // Both are given up, and their threads are not free.
        for _ in 0..10 {
            assert!(!host.admits());
        }
        assert_eq!(host.refused(refusal), 10);
        gate.open();
        eventually("the threads are free", || matches!(answer(&mut host.ask("")), Some((101, _))));
    }
}
