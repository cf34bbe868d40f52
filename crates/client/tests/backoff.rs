//! RFC 6455, section 7.2.3: how long to wait before the next attempt.

use std::time::Duration;

use raddle_client::Backoff;

const MAX: u64 = u64::MAX;

#[test]
fn the_bound_doubles_up_to_the_cap_and_no_further() {
    let mut backoff = Backoff::default();
    let bounds: Vec<_> = (0..7).map(|_| backoff.next_wait(MAX)).collect();
    assert_eq!(bounds, [5, 10, 20, 40, 60, 60, 60].map(Duration::from_secs));
    // Hostile input 356: no counter overflows.
    for _ in 0..100_000 {
        assert_eq!(backoff.next_wait(MAX), Duration::from_secs(60));
    }
    let mut unbounded = Backoff::default();
    unbounded.cap = Duration::MAX;
    let mut before = Duration::ZERO;
    for _ in 0..1000 {
        let bound = unbounded.next_wait(MAX);
        assert!(bound >= before);
        before = bound;
    }
}

#[test]
fn every_wait_is_random() {
    let quarters = [0, MAX / 4, MAX / 2, MAX / 4 * 3, MAX];
    for (random, (first, second)) in
        quarters.into_iter().zip([(0, 5000), (1250, 6250), (2500, 7500), (3750, 8750), (5000, 10_000)])
    {
        let mut backoff = Backoff::default();
        for expected in [first, second].map(Duration::from_millis) {
            let wait = backoff.next_wait(random);
            assert!(wait.abs_diff(expected) < Duration::from_micros(1), "{wait:?} for {random}");
        }
    }
    // Nobody waits for longer than the cap, at first neither.
    let mut capped = Backoff::default();
    capped.cap = Duration::from_secs(1);
    assert_eq!([capped.next_wait(MAX), capped.next_wait(MAX)], [Duration::from_secs(1); 2]);
    let mut none = Backoff::default();
    none.first = Duration::ZERO;
    assert_eq!([none.next_wait(MAX), none.next_wait(MAX)], [Duration::ZERO; 2]);
}

#[test]
fn after_a_good_while_it_begins_anew_and_not_before() {
    let mut backoff = Backoff::default();
    for _ in 0..4 {
        backoff.next_wait(MAX);
    }
    // Hostile input 356: a server that drops what it has accepted.
    backoff.opened_for(Duration::from_millis(59_999));
    assert_eq!(backoff.next_wait(MAX), Duration::from_secs(60));
    backoff.opened_for(Duration::from_secs(60));
    assert_eq!(backoff.next_wait(MAX), Duration::from_secs(5));
}

#[test]
fn a_thousand_clients_come_back_one_by_one() {
    // Hostile input 355: a server that 1,000 clients are connected to crashes, and comes back after some time.
    let mut state = 1_u64;
    let mut random = move || {
        // SplitMix64: the same in every run.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for back in [0, 3, 30, 300].map(Duration::from_secs) {
        let mut attempts = [0_u32; 600];
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            let mut backoff = Backoff::default();
            let mut at = Duration::ZERO;
            loop {
                at += backoff.next_wait(random());
                attempts[at.as_secs() as usize] += 1;
                if at >= back {
                    break;
                }
            }
            last = last.max(at);
        }
        // A fifth of them in a second, and what chance adds to that: four times the square root of 160.
        let most = attempts.iter().max().expect("seconds");
        assert!(*most <= 200 + 51, "{most} in a second, with the server back after {back:?}");
        assert!(last <= back + 2 * Duration::from_secs(60), "the last is back after {last:?}");
    }
}
