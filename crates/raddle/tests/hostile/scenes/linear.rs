//! Work that has to be linear in what was received: lists in headers, of which the elements are many, empty, long or never closed.

use std::time::Duration;

use raddle::Deflate;
use raddle::core::handshake::{Accept, HeadLimits, RequestParser};
use rustix::time::{ClockId, clock_gettime};

use crate::head::sample;

/// The processor time of this thread.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time")
}

/// The least time of some that a server takes for a request with this header.
fn time_for(name: &str, value: &str) -> Duration {
    let is_there = matches!(name, "Connection" | "Upgrade");
    let head = Vec::from(if is_there { sample().set(name, value) } else { sample().add(name, value) });
    let limits = HeadLimits { head: 1 << 20, line: 1 << 10, headers: 100 };
    let take = || {
        let begun = now();
        // It may be refused: that is another test's to see.
        if let Ok(Some(request)) = RequestParser::new(limits).advance(&head) {
            let accept = Accept { deflate: Some(Deflate::default()), ..Accept::default() };
            drop(request.accept(&accept));
        }
        now() - begun
    };
    (0..15).map(|_| take()).min().expect("fifteen")
}

/// What fills a list up to a length.
type Between<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn sixteen_times_as_long_a_list_does_not_take_many_more_times_the_time() {
    // Hostile inputs 47, 61, 66 and 68: what is quadratic would take 256 times as much.
    let repeated = |part: &'static str| move |length: usize| part.repeat(length / part.len());
    let different = |length: usize| (0..length / 8).map(|number| format!("x{number:05}, ")).collect::<String>();
    let lists: [(&str, &str, Between<'_>, &str); 12] = [
        ("Connection", "Upgrade", &repeated(","), ""),
        ("Connection", "Upgrade", &repeated(" "), ""),
        ("Connection", "Upgrade,", &repeated("\t"), "x"),
        ("Connection", "Upgrade,", &different, "x"),
        ("Upgrade", "websocket,", &repeated("h2c, "), ""),
        ("Sec-WebSocket-Protocol", "b", &repeated(" "), "x"),
        ("Sec-WebSocket-Protocol", "", &different, "x"),
        ("Sec-WebSocket-Extensions", "a; b=\"", &repeated("\\c"), ""),
        ("Sec-WebSocket-Extensions", "a; b=\"", &repeated("\\c"), "\""),
        ("Sec-WebSocket-Extensions", "", &repeated("x-unknown, "), "x"),
        ("Sec-WebSocket-Extensions", "a", &repeated("; b=c"), ""),
        ("Sec-WebSocket-Extensions", "", &repeated("permessage-deflate; x, "), "x"),
    ];
    for (name, before, between, behind) in lists {
        let time = |length| time_for(name, &[before, &between(length), behind].concat());
        let (short, long) = (time(8 << 10), time(128 << 10));
        assert!(long < 64 * short, "{name}: {before}{}…{behind}: {short:?}, and {long:?}", between(16));
    }
}
