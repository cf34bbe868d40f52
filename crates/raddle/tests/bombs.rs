//! Compressed messages that are small on the wire and large or laborious in memory: what they take at most.

#[path = "../../socket/tests/common/allocator.rs"]
#[allow(dead_code, reason = "the other tests of memory use the rest")]
mod allocator;

use std::time::Duration;

use allocator::{Counting, peak_of};
use parking_lot::Mutex;
use raddle::core::deflate::Compressor;
use raddle::core::{Error, Message, Receiver};
use raddle::{Deflate, Limits, Role};
use rustix::time::{ClockId, clock_gettime};
use zlib_rs::DeflateFlush;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the process holds is looked at by one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// So much compressed data that inflates to so many mebibytes of zeros, as a peer that is bent on it makes it.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut compressor = zlib_rs::Deflate::new(9, false, 15);
    let mut payload = vec![0; 64 * 1024];
    compressor.compress(&vec![0; 1 << 20], &mut payload, DeflateFlush::FullFlush).expect("there is room");
    payload.truncate(compressor.total_out() as usize);
    payload.repeat(mebibytes)
}

/// The frames of a message, as a client sends them.
fn frames(opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let count = payload.len().div_ceil(size);
    let mut bytes = Vec::with_capacity(payload.len() + 14 * count);
    for (index, part) in payload.chunks(size).enumerate() {
        let fin = if index + 1 == count { 0x80 } else { 0 };
        bytes.push(fin | if index == 0 { 0x40 | opcode } else { 0 });
        match u16::try_from(part.len()) {
            Ok(length) => {
                assert!(length > 125, "a header for longer payloads");
                bytes.push(0xfe);
                bytes.extend(length.to_be_bytes());
            }
            Err(_) => {
                bytes.push(0xff);
                bytes.extend((part.len() as u64).to_be_bytes());
            }
        }
        // Masked with zeros.
        bytes.extend([0; 4]);
        bytes.extend(part);
    }
    bytes
}

/// The time that this thread has had the processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time")
}

/// What a message costs, as a driver receives it: its end, the memory at the peak, and the time of the processor. The time is
/// the least of three: others may have the caches.
fn receive(limits: Limits, in_parts: bool, bytes: &[u8]) -> (Result<u64, Error>, isize, Duration) {
    let costs = [(); 3].map(|()| receive_once(limits, in_parts, bytes));
    let [(outcome, peak, _), ..] = costs;
    (outcome, peak, costs.map(|(.., time)| time).into_iter().min().expect("three"))
}

fn receive_once(limits: Limits, in_parts: bool, bytes: &[u8]) -> (Result<u64, Error>, isize, Duration) {
    let mut outcome = Ok(0);
    let begun = processor_time();
    let peak = peak_of(|| {
        let mut receiver = Receiver::new(Role::Server, limits).with_deflate(Some(Deflate::default()));
        let mut rest = bytes;
        while !rest.is_empty() && outcome.is_ok() {
            let space = receiver.space();
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            receiver.filled(count);
            rest = &rest[count..];
            loop {
                match if in_parts { receiver.advance_part() } else { receiver.advance() } {
                    Ok(true) => outcome = outcome.map(|messages| messages + 1),
                    Ok(false) => break,
                    Err(error) => break outcome = Err(error),
                }
            }
        }
    });
    (outcome, peak, processor_time() - begun)
}

#[test]
fn a_bomb_takes_the_limit_and_a_mebibyte_and_a_tenth_of_a_second() {
    // Hostile inputs 196 and 197.
    let _alone = ALONE.lock();
    let (small, large) = (bomb(64), bomb(10 << 10));
    assert!(small.len() < 70_000 && large.len() < 11 << 20, "{} and {} bytes", small.len(), large.len());
    for limit in [1 << 20, 16 << 20] {
        let limits = Limits::default().message(limit);
        for opcode in [1, 2] {
            for (what, bytes) in [
                ("64 MiB", frames(opcode, &small, small.len())),
                ("10 GiB", frames(opcode, &large, large.len())),
                ("10 GiB in fragments", frames(opcode, &large, 70_000)),
            ] {
                let (outcome, peak, time) = receive(limits, false, &bytes);
                assert_eq!(outcome, Err(Error::MessageTooBig), "{what} within {limit} bytes");
                assert!(peak <= (limit + (1 << 20)) as isize, "{what} within {limit} bytes: {peak} bytes");
                assert!(time < Duration::from_millis(100), "{what} within {limit} bytes: {time:?}");
            }
        }
    }
}

/// In parts, a message of no limit is never in memory.
#[test]
fn a_bomb_in_parts_takes_a_mebibyte() {
    let _alone = ALONE.lock();
    let payload = bomb(256);
    // The end of the last flush is the tail, which its sender leaves out.
    let bytes = frames(2, &payload[..payload.len() - 4], payload.len());
    let (outcome, peak, _) = receive(Limits::default().message(u64::MAX), true, &bytes);
    assert!(outcome.is_ok_and(|parts| parts >= 1024), "{outcome:?}");
    assert!(peak <= 1 << 20, "{peak} bytes");
}

/// Bits, the least significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: usize, count: usize) {
        for place in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().expect("pushed") |= ((value >> place & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
    }

    /// A Huffman code, whose first bit is the most significant.
    fn code(&mut self, code: usize, count: usize) {
        (0..count).rev().for_each(|place| self.put(code >> place, 1));
    }
}

/// An empty dynamic block (RFC 1951, section 3.2.7) that has each length and each distance in its tables, and so the most to
/// build for the fewest bytes.
fn dynamic_block(bits: &mut Bits) {
    bits.put(0b100, 3);
    // 286 lengths, 30 distances, 12 lengths of code lengths, for 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11 and 4.
    bits.put(29, 5);
    bits.put(29, 5);
    bits.put(8, 4);
    for length in [1, 0, 0, 0, 3, 0, 3, 0, 0, 3, 0, 3] {
        bits.put(length, 3);
    }
    // In order of the symbols: 4, 5, 8 and 9 have three bits, behind the one of 16.
    let length =
        |bits: &mut Bits, length| bits.code([4, 5, 8, 9].iter().position(|one| *one == length).expect("one") + 4, 3);
    let again = |bits: &mut Bits, count: usize| {
        bits.code(0, 1);
        bits.put(count - 3, 2);
    };
    let run = |bits: &mut Bits, of: usize, mut count: usize| {
        length(bits, of);
        count -= 1;
        while count > 0 {
            let some = if count < 9 && count > 6 { 4 } else { count.min(6) };
            again(bits, some);
            count -= some;
        }
    };
    run(bits, 8, 226);
    run(bits, 9, 60);
    length(bits, 4);
    length(bits, 4);
    run(bits, 5, 28);
    // The end of the block is 256, the 31st of those with 9 bits, which begin at 2 * 226.
    bits.code(2 * 226 + 30, 9);
}

#[test]
fn a_mebibyte_of_empty_blocks_is_linear_work() {
    // Hostile input 205.
    let _alone = ALONE.lock();
    let mut fixed = Bits::default();
    (0..(1 << 20) * 8 / 10).for_each(|_| fixed.put(0b010, 10));
    let mut dynamic = Bits::default();
    while dynamic.bytes.len() < (1 << 20) - 40 {
        dynamic_block(&mut dynamic);
    }
    // An empty stored block ends each, and leaves its tail out.
    for bits in [&mut fixed, &mut dynamic] {
        bits.put(0, 3);
    }
    let stored = [b"\x00\x00\x00\xff\xff".repeat((1 << 20) / 5 - 1), vec![0]].concat();
    for (what, payload) in [("stored", stored), ("fixed", fixed.bytes), ("dynamic", dynamic.bytes)] {
        let payload = if payload.len() > 1 << 20 { &payload[..1 << 20] } else { &payload[..] };
        for in_parts in [false, true] {
            let bytes = frames(1, payload, payload.len());
            let (outcome, peak, time) = receive(Limits::default(), in_parts, &bytes);
            assert_eq!(outcome, Ok(1), "{what}");
            assert!(peak <= 1 << 20, "{what}: {peak} bytes");
            assert!(time < Duration::from_millis(200), "{what}: {time:?}");
        }
    }
}

/// As the documentation of `Deflate` says, in KiB.
#[test]
fn compressors_and_inflaters_take_what_is_documented() {
    let _alone = ALONE.lock();
    let messages = [&b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00"[..]; 2].concat();
    for (bits, documented) in [(9, 140), (10, 145), (11, 150), (12, 165), (13, 195), (14, 255), (15, 375)] {
        let deflate = Deflate { server_max_window_bits: bits, client_max_window_bits: bits, ..Deflate::default() };
        let compressor = peak_of(|| {
            let mut compressor = Compressor::new(&deflate, Role::Server);
            compressor.compress(Message::Text(&"a".repeat(64)));
        });
        assert!(compressor <= documented << 10, "{bits} bits: {compressor} bytes");
        let inflater = peak_of(|| {
            // The first takes one that others have left, where there is one.
            let receivers = [(); 2].map(|()| {
                let mut receiver = Receiver::new(Role::Server, Limits::default()).with_deflate(Some(deflate));
                receiver.feed(&messages);
                assert_eq!(
                    (receiver.advance(), receiver.advance(), receiver.advance()),
                    (Ok(true), Ok(true), Ok(false))
                );
                receiver
            });
            drop(receivers);
        });
        assert!(inflater <= 2 * (50 << 10), "{bits} bits: {inflater} bytes for two");
    }
}
