//! Memory and work (section 10.4): what an echo allocates, what a message in the making occupies, how often it is moved.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{CLIENT, KEY, SERVER, frame, header, written};
use raddle_core::{Event, Header, Limits, Message, Receiver, Sender};

/// Counts what the thread that asks has allocated.
struct Counting;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Calls that gave memory.
    calls: usize,
    /// Bytes that they gave, all together.
    bytes: usize,
    /// Bytes that are not given back.
    live: usize,
    /// The most that `live` has been.
    peak: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { calls: 0, bytes: 0, live: 0, peak: 0 }) };
}

fn note(taken: usize, given_back: usize) {
    let mut count = COUNT.get();
    count.calls += usize::from(taken > 0);
    count.bytes += taken;
    // What another thread has taken may be given back here.
    count.live = (count.live + taken).saturating_sub(given_back);
    count.peak = count.peak.max(count.live);
    COUNT.set(count);
}

// SAFETY: every call goes on to the system's allocator as it came; counting touches no memory of the caller's.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` has allocated; `live` and `peak` are above what there was before.
fn allocated<T>(work: impl FnOnce() -> T) -> (Count, T) {
    let before = COUNT.get();
    COUNT.set(Count { live: before.live, peak: before.live, ..Count::default() });
    let result = work();
    let count = COUNT.get();
    (Count { live: count.live.saturating_sub(before.live), peak: count.peak - before.live, ..count }, result)
}

/// Reads `bytes` as a socket would give them, at most `most` at a time.
fn read(receiver: &mut Receiver, bytes: &[u8], most: usize) -> usize {
    let space = receiver.space();
    let count = bytes.len().min(space.len()).min(most);
    space[..count].copy_from_slice(&bytes[..count]);
    receiver.filled(count);
    count
}

/// Sends back all messages in `bytes`, which arrive in reads of at most `most`; gives the count of bytes sent.
fn echo(receiver: &mut Receiver, sender: &mut Sender, output: &mut Vec<u8>, bytes: &[u8], most: usize) -> usize {
    let (mut at, mut sent) = (0, 0);
    while at < bytes.len() {
        at += read(receiver, &bytes[at..], most);
        while receiver.advance().expect("valid") {
            let event = receiver.event().expect("advance() has returned true");
            sender.react(&event);
            // The message is borrowed from the receiver while the sender takes it.
            if let Some(message) = event.message() {
                sender.send(message).expect("open");
            }
        }
        sender.take_output(output);
        sent += output.len();
        output.clear();
        sender.taken_written();
    }
    sent
}

#[test]
fn an_echo_borrows_while_it_sends_and_allocates_nothing() {
    let text = "é".repeat(300);
    let batch: Vec<u8> = [
        frame(0x81, text.as_bytes(), Some(KEY)),
        frame(0x89, b"are you there", Some(KEY)),
        frame(0x82, &[7; 16 * 1024], Some(KEY)),
        // A message of three fragments, with a Ping between them.
        frame(0x01, b"one, ", Some(KEY)),
        frame(0x00, b"two, ", Some(KEY)),
        frame(0x89, b"", Some(KEY)),
        frame(0x80, b"three", Some(KEY)),
        frame(0x82, b"", Some(KEY)),
    ]
    .concat();
    // Reads that hold all of it, that tear messages, and that tear headers.
    for most in [usize::MAX, 1448, 100, 7] {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        let (mut sender, mut output) = (Sender::server(), Vec::new());
        let mut round = || echo(&mut receiver, &mut sender, &mut output, &batch, most);
        let first: usize = (0..20).map(|_| round()).sum();
        let (count, sent) = allocated(|| (0..20).map(|_| round()).sum::<usize>());
        assert_eq!(sent, first);
        assert_eq!(count.calls, 0, "reads of {most}: {count:?}");
        // A small read that fills what a larger one has left over is no sign of a large one to come.
        assert!(most > 1448 || receiver.capacity() <= 32 * 1024, "reads of {most}: {}", receiver.capacity());
    }
}

#[test]
fn a_whole_message_is_lent_from_where_it_was_read() {
    let mut receiver = Receiver::new(SERVER, Limits::default());
    let bytes = frame(0x82, &[1; 1000], Some(KEY));
    let place = receiver.space().as_ptr();
    assert_eq!(read(&mut receiver, &bytes, usize::MAX), bytes.len());
    assert_eq!(receiver.advance(), Ok(true));
    let Some(Event::Binary(payload)) = receiver.event() else { panic!("a message") };
    assert_eq!(payload.as_ptr(), place.wrapping_add(bytes.len() - payload.len()));
}

#[test]
fn memory_grows_with_the_bytes_received_and_never_with_those_announced() {
    const MESSAGE: u64 = 1 << 40;
    let limits = Limits::default().message(MESSAGE);
    for role in [CLIENT, SERVER] {
        for most in [1, 100, 4096, usize::MAX] {
            let (_, ()) = allocated(|| {
                let before = COUNT.get().live;
                let mut receiver = Receiver::new(role, limits);
                let mut received = read(&mut receiver, &header(role, 0x82, MESSAGE), usize::MAX);
                let payload = [0; 256 * 1024];
                while received < if most == 1 { 20_000 } else { 2 << 20 } {
                    assert_eq!(receiver.advance(), Ok(false));
                    received += read(&mut receiver, &payload, most);
                    let (live, bound) = (COUNT.get().live - before, 2 * received + 64 * 1024);
                    assert!(live <= bound, "{live} bytes of memory for {received} received");
                    assert_eq!(receiver.capacity(), live);
                    // While it is moved to a larger one, the old one is there too.
                    assert!(2 * (COUNT.get().peak - before) <= 7 * received + 192 * 1024);
                }
            });
        }
    }
}

#[test]
fn a_thousand_announcements_cost_what_their_headers_cost() {
    let limits = Limits::default().message(1 << 40);
    let (count, _receivers) = allocated(|| {
        let mut receivers: Vec<_> = (0..1000).map(|_| Receiver::new(SERVER, limits)).collect();
        for receiver in &mut receivers {
            read(receiver, &header(SERVER, 0x81, 1 << 40), usize::MAX);
            assert_eq!(receiver.advance(), Ok(false));
            receiver.space();
        }
        receivers
    });
    assert!(count.live < 8 << 20, "{count:?}");
}

/// Receives one message in reads of at most `most`, and adds up what was moved to make room: what the reads do not account
/// for is a move, and no more than all that was received can have been moved. Bytes allocated are given beside it.
fn work(bytes: &[u8], most: usize) -> (usize, usize) {
    let mut receiver = Receiver::new(SERVER, Limits { fragments: u32::MAX, ..Limits::default().message(1 << 30) });
    let (count, moved) = allocated(|| {
        let (mut at, mut moved, mut headers) = (0, 0, 0);
        let mut expected = receiver.space().as_ptr();
        while at < bytes.len() {
            let place = receiver.space().as_ptr();
            if place > expected || place.wrapping_add(headers) < expected {
                moved += at;
            }
            let count = read(&mut receiver, &bytes[at..], most);
            (at, expected) = (at + count, place.wrapping_add(count));
            // What follows takes the place of the headers that were read.
            headers = count + Header::MAX_LEN;
            assert_eq!(receiver.advance(), Ok(at == bytes.len()));
        }
        moved
    });
    (moved, count.bytes)
}

#[test]
fn the_work_of_a_large_message_is_linear_however_it_is_cut() {
    let whole = frame(0x81, &vec![b'a'; 16 << 20], Some(KEY));
    let mut fragments = frame(0x01, b"", Some(KEY));
    for _ in 0..10_000 {
        fragments.extend(frame(0x00, &[b'a'; 100], Some(KEY)));
    }
    fragments.extend(frame(0x80, b"", Some(KEY)));
    let short = frame(0x81, &vec![b'a'; 1 << 20], Some(KEY));

    let cases =
        [(&whole, 1448), (&whole, 64 * 1024), (&whole, usize::MAX), (&short, 1), (&fragments, 1), (&fragments, 1000)];
    for (bytes, most) in cases {
        let (moved, allocated) = work(bytes, most);
        assert!(moved <= 4 * bytes.len(), "{moved} bytes moved of {} in reads of {most}", bytes.len());
        assert!(allocated <= 8 * bytes.len(), "{allocated} bytes allocated for {} in reads of {most}", bytes.len());
    }
}

#[test]
fn a_frame_that_is_torn_again_and_again_moves_little() {
    // Each read ends amid the next message, which has to be moved for room now and then.
    let messages: Vec<u8> = (0..10_000).flat_map(|_| frame(0x82, &[1; 100], Some(KEY))).collect();
    for most in [1, 99, 107, 1000] {
        let mut receiver = Receiver::new(SERVER, Limits::default());
        let (count, ()) = allocated(|| {
            let mut at = 0;
            while at < messages.len() {
                at += read(&mut receiver, &messages[at..], most);
                while receiver.advance().expect("valid") {}
            }
        });
        assert!(count.bytes <= 64 * 1024, "{count:?} in reads of {most}");
    }
}

#[test]
fn a_buffer_that_grew_is_given_back() {
    let large = frame(0x82, &vec![1; 1 << 20], Some(KEY));
    let small = frame(0x82, &[1; 100], Some(KEY));

    // When the driver says so.
    let mut receiver = Receiver::new(SERVER, Limits::default());
    receiver.feed(&large);
    assert_eq!(receiver.advance(), Ok(true));
    assert!(receiver.capacity() > 1 << 20);
    receiver.shrink();
    assert_eq!((receiver.capacity(), receiver.event()), (0, None));

    // When the reads have been small for some time.
    receiver.feed(&large);
    assert_eq!(receiver.advance(), Ok(true));
    for _ in 0..20 {
        receiver.feed(&small);
        assert_eq!(receiver.advance(), Ok(true));
    }
    assert!(receiver.capacity() <= 8 * 1024, "{}", receiver.capacity());

    // Amid a message, all but what it needs.
    receiver.feed(&large[..500_000]);
    assert_eq!(receiver.advance(), Ok(false));
    receiver.shrink();
    assert!(receiver.capacity() < 500_000);
    receiver.feed(&large[500_000..]);
    assert_eq!(receiver.advance(), Ok(true));
    assert!(receiver.event() == Some(Event::Binary(&[1; 1 << 20])));
}

#[test]
fn a_message_that_comes_in_small_reads_does_not_give_its_buffer_back_each_time() {
    let message = frame(0x82, &[1; 40 * 1024], Some(KEY));
    let mut receiver = Receiver::new(SERVER, Limits::default());
    let mut round = || {
        let mut at = 0;
        while at < message.len() {
            at += read(&mut receiver, &message[at..], 1448);
            assert_eq!(receiver.advance(), Ok(at == message.len()));
        }
    };
    // The buffer finds its size.
    (0..3).for_each(|_| round());
    let (count, ()) = allocated(|| (0..10).for_each(|_| round()));
    assert_eq!(count.calls, 0, "{count:?}");
    // And that buffer is not larger than it has to be.
    assert!(receiver.capacity() <= 64 * 1024, "{}", receiver.capacity());
}

#[test]
fn an_output_that_never_runs_empty_does_not_grow() {
    let message = [0x5a; 1000];
    let mut sender = Sender::server();
    let (count, ()) = allocated(|| {
        sender.send(Message::Binary(&message)).expect("open");
        for _ in 0..10_000 {
            sender.send(Message::Binary(&message)).expect("open");
            assert_eq!(sender.output()[..4], *b"\x82\x7e\x03\xe8");
            sender.written(1004);
            assert_eq!(sender.queued(), 1004);
        }
    });
    assert!(count.peak <= 16 * 1024, "{count:?} for 1,004 bytes that wait");
}

#[test]
fn pings_to_a_peer_that_takes_nothing_occupy_nothing() {
    let mut sender = Sender::server();
    sender.send(Message::Text("a")).expect("open");
    let (count, ()) = allocated(|| {
        for _ in 0..10_000 {
            sender.written(0);
            sender.react(&Event::Ping(&[0; 125]));
            assert_eq!(sender.output(), b"\x81\x01a");
        }
    });
    assert!(count.peak <= 1024, "{count:?}");
}

#[test]
fn an_empty_output_gives_its_memory_back_when_asked() {
    let mut sender = Sender::server();
    let before = COUNT.get().live;
    sender.send(Message::Binary(&[0; 100_000])).expect("open");
    sender.shrink();
    assert!(COUNT.get().live - before >= 100_000);
    assert_eq!(written(&mut sender).len(), 100_010);
    sender.shrink();
    assert_eq!(COUNT.get().live, before);
}
