//! Section 5.3, masking: the fast path against one byte after the other.

mod common;

use common::{KEY, SERVER, check, frame};
use raddle_core::{Event, Limits, Receiver, mask};

/// Section 5.3 to the letter: octet i of the transformed data is octet i of the original, and octet i mod 4 of the key.
fn masked(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect()
}

fn rotated(key: [u8; 4], by: usize) -> [u8; 4] {
    std::array::from_fn(|index| key[(index + by) % 4])
}

/// Bytes without a period that is one of masking's.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251) as u8).collect()
}

/// 0-300, and 64 KiB with 40 at both sides.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain(64 * 1024 - 40..=64 * 1024 + 40)
}

#[test]
fn every_length_at_every_alignment_is_masked_as_byte_by_byte() {
    // Hostile input 129.
    const GUARD: u8 = 0xa5;
    let mut memory = vec![0; 64 * 1024 + 64];
    for length in lengths() {
        let payload = payload(length);
        let expected = masked(&payload, KEY);
        // Eight places in a row are all eight alignments.
        for start in 8..16 {
            memory[..start + length + 8].fill(GUARD);
            memory[start..start + length].copy_from_slice(&payload);
            let next = mask::apply(&mut memory[start..start + length], KEY);
            assert!(memory[start..start + length] == expected, "{length} bytes from {start}");
            assert_eq!(next, rotated(KEY, length), "{length} bytes");
            let (before, behind) = (&memory[..start], &memory[start + length..start + length + 8]);
            assert!(before.iter().chain(behind).all(|byte| *byte == GUARD), "{length} bytes from {start}");
        }
    }
}

#[test]
fn appended_bytes_are_masked_and_those_before_them_are_not() {
    for length in lengths().chain([8191, 8192, 8193, 3 * 8192 + 5]) {
        let payload = payload(length);
        for before in [0, 1, 7] {
            let mut output = vec![0xa5; before];
            mask::append(&mut output, &payload, KEY);
            let expected = [vec![0xa5; before], masked(&payload, KEY)].concat();
            assert!(output == expected, "{length} bytes behind {before}");
        }
    }
}

#[test]
fn the_key_goes_on_where_the_last_bytes_have_left_it() {
    let payload = payload(300);
    let expected = masked(&payload, KEY);
    for cut in 0..payload.len() {
        let mut bytes = payload.clone();
        let (one, other) = bytes.split_at_mut(cut);
        let next = mask::apply(one, KEY);
        assert_eq!(mask::apply(other, next), rotated(KEY, payload.len()));
        assert!(bytes == expected, "cut at {cut}");
    }
}

#[test]
fn masking_twice_changes_nothing() {
    for key in [[0; 4], [0xff; 4], *b"mask", [0, 0, 0, 1]] {
        let mut bytes = payload(100);
        mask::apply(&mut bytes, key);
        mask::apply(&mut bytes, key);
        assert_eq!(bytes, payload(100));
    }
}

#[test]
fn a_key_may_be_anything_and_another_one_in_each_frame() {
    let one = frame(0x02, b"\0\0\0\0\0", Some([0; 4]));
    let two = frame(0x00, b"\xff\xff\xff\xff\xff", Some([0xff; 4]));
    // The payload equals the key: zeros on the wire.
    let three = frame(0x80, b"keyskeys", Some(*b"keys"));
    assert_eq!(three[6..], [0; 8]);
    let message = b"\0\0\0\0\0\xff\xff\xff\xff\xffkeyskeys";
    check(SERVER, &[one, two, three].concat(), &[Ok(Event::Binary(message))]);
}

#[test]
fn a_receiver_unmasks_in_all_four_rotations_across_reads() {
    for length in lengths() {
        let payload = payload(length);
        let frame = frame(0x82, &payload, Some(KEY));
        for cut in 1..=4 {
            // The second read begins with another octet of the key each time.
            let cut = frame.len().min(14 + cut);
            let mut receiver = Receiver::new(SERVER, Limits::default());
            receiver.feed(&frame[..cut]);
            if cut < frame.len() {
                assert_eq!(receiver.advance(), Ok(false));
            }
            receiver.feed(&frame[cut..]);
            assert_eq!(receiver.advance(), Ok(true));
            assert!(receiver.event() == Some(Event::Binary(&payload)), "{length} bytes cut at {cut}");
        }
    }
}
