//! Keepalive in simulated time: a Ping after silence, the end of a peer that stays silent, and the round-trip time.

use std::time::Duration;

use raddle_core::{Due, Keepalive};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const INTERVAL: u64 = 20;
const TIMEOUT: u64 = 10;

fn keepalive() -> Keepalive {
    Keepalive::new(seconds(INTERVAL), seconds(TIMEOUT), seconds(0))
}

/// The payload of the Ping that is due.
#[track_caller]
fn ping(keepalive: &mut Keepalive, now: Duration) -> [u8; 8] {
    match keepalive.due(now) {
        Due::Ping(payload) => payload,
        due => panic!("{due:?}"),
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let mut keepalive = keepalive();
    for now in [0, 1, 19] {
        assert_eq!(keepalive.due(seconds(now)), Due::Wait(seconds(20)));
    }
    ping(&mut keepalive, seconds(20));
    for now in [20, 21, 29] {
        assert_eq!(keepalive.due(seconds(now)), Due::Wait(seconds(30)));
    }
    assert_eq!(keepalive.due(seconds(30)), Due::Silent);
    // However often it is asked.
    assert_eq!(keepalive.due(seconds(31)), Due::Silent);
}

#[test]
fn a_driver_that_asks_late_gives_the_peer_its_time_all_the_same() {
    // Hostile input 246: the machine was suspended. One Ping, not one for each interval, and time to answer it.
    let mut keepalive = keepalive();
    ping(&mut keepalive, seconds(100));
    assert_eq!(keepalive.due(seconds(109)), Due::Wait(seconds(110)));
    assert_eq!(keepalive.due(seconds(110)), Due::Silent);
}

#[test]
fn a_peer_that_sends_is_not_pinged() {
    let mut keepalive = keepalive();
    for now in 1..100 {
        keepalive.heard(seconds(now));
        assert_eq!(keepalive.due(seconds(now)), Due::Wait(seconds(now + INTERVAL)));
    }
}

#[test]
fn any_byte_is_life() {
    // A message that takes longer to arrive than the peer has for its Pong.
    let mut keepalive = keepalive();
    ping(&mut keepalive, seconds(20));
    for now in (21..=111).step_by(9) {
        keepalive.heard(seconds(now));
        assert_eq!(keepalive.due(seconds(now)), Due::Wait(seconds(now + INTERVAL)));
    }
    // And when that ends, silence is counted from there.
    ping(&mut keepalive, seconds(111 + INTERVAL));
    assert_eq!(keepalive.due(seconds(111 + INTERVAL + TIMEOUT)), Due::Silent);
}

#[test]
fn a_byte_after_the_time_has_passed_counts_if_it_is_seen_first() {
    let mut keepalive = keepalive();
    ping(&mut keepalive, seconds(20));
    keepalive.heard(seconds(40));
    assert_eq!(keepalive.due(seconds(40)), Due::Wait(seconds(60)));
}

#[test]
fn a_driver_may_tell_late_and_in_any_order_what_it_has_heard() {
    let mut keepalive = keepalive();
    keepalive.heard(seconds(5));
    keepalive.heard(seconds(3));
    assert_eq!(keepalive.due(seconds(5)), Due::Wait(seconds(25)));
    // What came before the Ping is no answer to it.
    ping(&mut keepalive, seconds(25));
    keepalive.heard(seconds(24));
    keepalive.heard(seconds(10));
    assert_eq!(keepalive.due(seconds(35)), Due::Silent);
}

#[test]
fn the_answer_gives_the_round_trip_time() {
    let mut keepalive = keepalive();
    let payload = ping(&mut keepalive, seconds(20));
    assert_eq!(keepalive.pong(&payload, Duration::from_millis(20_250)), Some(Duration::from_millis(250)));
    // The second answer is none, nor is one at another time.
    assert_eq!(keepalive.pong(&payload, seconds(21)), None);
    assert_eq!(keepalive.pong(&payload, seconds(2000)), None);
}

#[test]
fn an_answer_alone_is_life_too() {
    let mut keepalive = keepalive();
    let payload = ping(&mut keepalive, seconds(20));
    assert_eq!(keepalive.pong(&payload, seconds(20)), Some(seconds(0)));
    // The next Ping is due: nothing has been heard since 0.
    let next = ping(&mut keepalive, seconds(20));
    assert_ne!(payload, next);
}

#[test]
fn only_the_answer_to_the_newest_ping_is_one() {
    let mut keepalive = keepalive();
    // Before the first Ping nothing is an answer.
    for payload in [&b""[..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 1], b"something"] {
        assert_eq!(keepalive.pong(payload, seconds(1)), None);
    }
    let first = ping(&mut keepalive, seconds(20));
    keepalive.heard(seconds(21));
    let second = ping(&mut keepalive, seconds(41));
    assert_ne!(first, second);
    for payload in [&first[..], &second[..7], &[&second[..], b"\0"].concat(), b"", b"unasked!"] {
        assert_eq!(keepalive.pong(payload, seconds(42)), None, "{payload:x?}");
    }
    // They are no life either: that is what heard() is for.
    assert_eq!(keepalive.due(seconds(51)), Due::Silent);
    // An answer after the end does no harm.
    assert_eq!(keepalive.pong(&second, seconds(52)), Some(seconds(11)));
    assert_eq!(keepalive.pong(&second, seconds(52)), None);
}

#[test]
fn every_ping_has_another_payload() {
    let mut keepalive = keepalive();
    let mut before = None;
    for round in 1..1000 {
        let now = seconds(round * (INTERVAL + 1));
        let payload = ping(&mut keepalive, now);
        assert_ne!(before, Some(payload));
        before = Some(payload);
        keepalive.heard(now + seconds(1));
    }
}

#[test]
fn extreme_times_do_not_overflow() {
    let times = [Duration::ZERO, Duration::from_nanos(1), seconds(1), Duration::MAX - seconds(1), Duration::MAX];
    for interval in times {
        for timeout in times {
            for start in times {
                for now in times {
                    let mut keepalive = Keepalive::new(interval, timeout, start);
                    for _ in 0..3 {
                        match keepalive.due(now) {
                            Due::Wait(due) => assert!(due > now),
                            Due::Ping(payload) => {
                                assert!(now >= start.saturating_add(interval));
                                // A clock that went back gives no negative time.
                                assert_eq!(keepalive.clone().pong(&payload, Duration::ZERO), Some(Duration::ZERO));
                            }
                            Due::Silent => assert!(now >= now.saturating_add(timeout)),
                        }
                    }
                    keepalive.heard(Duration::MAX);
                    keepalive.due(Duration::MAX);
                }
            }
        }
    }
}

#[test]
fn an_interval_without_end_means_never() {
    let mut keepalive = Keepalive::new(Duration::MAX, seconds(1), seconds(5));
    assert_eq!(keepalive.due(seconds(u64::MAX / 2)), Due::Wait(Duration::MAX));
}
