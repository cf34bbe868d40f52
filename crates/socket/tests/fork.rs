//! A child process that `fork` makes draws masking keys of its own.

mod common;

use common::*;
use raddle_socket::Role;

#[test]
fn the_masking_keys_of_a_child_process_are_its_own() {
    // Hostile input 271. The parent has drawn keys that it has not used yet, and the child has a copy of them.
    let (connection, mut peer) = against_peer(Role::Client, options(|options| options.ping_interval = None));
    connection.send("before").expect("open");
    assert_eq!(peer.frame(), text("before"));
    // SAFETY: the child calls nothing but a send on a connection that no other thread uses, and leaves.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process can be made");
    if child == 0 {
        let sent = (0..20).all(|_| connection.send("child").is_ok());
        // SAFETY: ends the process at once, without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!sent)) };
    }
    for _ in 0..20 {
        assert_eq!(peer.frame(), text("child"));
    }
    let mut status = -1;
    // SAFETY: the process was made above, and `status` is a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child has sent its messages");
    for _ in 0..20 {
        connection.send("parent").expect("open");
        assert_eq!(peer.frame(), text("parent"));
    }
    let (of_child, of_parent) = peer.keys[1..].split_at(20);
    let shared: Vec<_> = of_child.iter().filter(|key| of_parent.contains(key)).collect();
    assert!(shared.is_empty(), "parent and child have both used {shared:?}");
}
