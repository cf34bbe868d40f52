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
    let next = u32::from_le_bytes(key).rotate_right(8 * (payload.len() as u32 % 4)).to_le_bytes();
    // The key repeats every four bytes, so it stands at its beginning again behind each of these pieces.
    let rest = if payload.len() < WIDE { whole::<64>(payload, key) } else { long(payload, key) };
    match rest {
        [] => {}
        [one] => *one ^= key[0],
        [one, two] => (*one, *two) = (*one ^ key[0], *two ^ key[1]),
        [one, two, three] => (*one, *two, *three) = (*one ^ key[0], *two ^ key[1], *three ^ key[2]),
        [..] if rest.len() <= 8 => ends::<4>(rest, key, next),
        [..] if rest.len() <= 16 => ends::<8>(rest, key, next),
        [..] if rest.len() <= 32 => ends::<16>(rest, key, next),
        [..] => ends::<32>(rest, key, next),
    }
    next
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

/// Masks whole pieces of 64 bytes, with the widest registers that the processor has, and gives what is left.
fn long(payload: &mut [u8], key: [u8; 4]) -> &mut [u8] {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for, as was just asked.
        #[allow(unsafe_code)]
        return unsafe { wide(payload, key) };
    }
    whole::<64>(payload, key)
}

/// As [`whole`], compiled for registers of 32 bytes, of which each processor of these years has some: it takes half the time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide(payload: &mut [u8], key: [u8; 4]) -> &mut [u8] {
    whole::<64>(payload, key)
}

/// Masks as many whole pieces of `N` bytes, a multiple of four, as there are, and gives what is left. A piece is a few machine
/// instructions, so that a short payload costs no loop over its bytes.
#[inline(always)]
fn whole<const N: usize>(payload: &mut [u8], key: [u8; 4]) -> &mut [u8] {
    let (pieces, rest) = payload.as_chunks_mut::<N>();
    for piece in pieces {
        mask(piece, key);
    }
    rest
}

/// Masks from `N` to twice as many bytes by the first and the last `N` of them, which may overlap: in a few machine instructions,
/// whatever the length is. `next` is the key behind them, and so that of the last `N` too, a multiple of four.
#[inline(always)]
fn ends<const N: usize>(payload: &mut [u8], key: [u8; 4], next: [u8; 4]) {
    let (Some(&first), Some(&last)) = (payload.first_chunk::<N>(), payload.last_chunk::<N>()) else { return };
    for (place, mut bytes, key) in [(0, first, key), (payload.len() - N, last, next)] {
        mask(&mut bytes, key);
        payload[place..place + N].copy_from_slice(&bytes);
    }
}

#[inline(always)]
fn mask<const N: usize>(piece: &mut [u8; N], key: [u8; 4]) {
    let key = u32::from_ne_bytes(key);
    for part in piece.as_chunks_mut::<4>().0 {
        *part = (u32::from_ne_bytes(*part) ^ key).to_ne_bytes();
    }
}

/// From so many bytes on, wide registers are worth a call.
const WIDE: usize = 256;
/// From so many bytes on, one pass is the faster.
const LONG: usize = 512;
