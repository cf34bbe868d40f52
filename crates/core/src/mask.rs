//! Masking (RFC 6455, section 5.3). Masking and unmasking are the same operation.

/// Masks `payload` in place and returns the key rotated for the bytes that follow.
///
/// ```
/// let mut payload = *b"\x7f\x9f\x4d\x51\x58";
/// let next = raddle_core::mask::apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
/// assert_eq!(&payload, b"Hello");
/// assert_eq!(next, [0xfa, 0x21, 0x3d, 0x37]);
/// ```
pub fn apply(payload: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let mut key = u32::from_le_bytes(key);
    // The key repeats every four bytes, so it stands at its beginning again behind each of these.
    let rest = whole::<64>(payload, key);
    let rest = whole::<32>(rest, key);
    let rest = whole::<16>(rest, key);
    let rest = whole::<8>(rest, key);
    let rest = whole::<4>(rest, key);
    for byte in rest {
        *byte ^= key as u8;
        key = key.rotate_right(8);
    }
    key.to_le_bytes()
}

/// Appends `payload` to `output`, masked. A long one in one pass, at half the cost of a copy that is masked where it lies; a short
/// one is copied with one instruction or a few, and has no loops to set up.
pub fn append(output: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    let (words, rest) = if payload.len() < LONG { (&[][..], payload) } else { payload.as_chunks::<8>() };
    let word = u64::from(u32::from_ne_bytes(key)) * 0x1_0000_0001;
    output.extend(words.iter().flat_map(|bytes| (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes()));
    let start = output.len();
    output.extend_from_slice(rest);
    apply(&mut output[start..], key);
}

/// Masks as many whole pieces of `N` bytes, a multiple of four, as there are, and gives what is left. A piece is a few machine
/// instructions, so that a short payload costs no loop over its bytes.
#[inline(always)]
fn whole<const N: usize>(payload: &mut [u8], key: u32) -> &mut [u8] {
    let (pieces, rest) = payload.as_chunks_mut::<N>();
    for piece in pieces {
        for half in piece.as_chunks_mut::<4>().0 {
            *half = (u32::from_le_bytes(*half) ^ key).to_le_bytes();
        }
    }
    rest
}

/// From so many bytes on, one pass is the faster.
const LONG: usize = 512;
