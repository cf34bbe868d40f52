//! Short frames: their payload is copied by moves of a fixed size, in less time than it takes to call what copies any number of bytes.

/// Appends a frame with a payload of at most [`SHORT`] bytes, which is not masked: its header is two bytes.
#[inline(always)]
pub(crate) fn append(output: &mut Vec<u8>, header: [u8; 2], payload: &[u8]) {
    let [first, second] = header;
    match *payload {
        [..] if payload.len() >= 32 => ends::<32, 66>(output, header, payload),
        [..] if payload.len() >= 16 => ends::<16, 34>(output, header, payload),
        [..] if payload.len() >= 8 => ends::<8, 18>(output, header, payload),
        [..] if payload.len() >= 4 => ends::<4, 10>(output, header, payload),
        [one, two, three] => output.extend_from_slice(&[first, second, one, two, three]),
        [one, two] => output.extend_from_slice(&[first, second, one, two]),
        [one] => output.extend_from_slice(&[first, second, one]),
        _ => output.extend_from_slice(&header),
    }
}

/// Appends a frame with `N` to twice as many bytes, by the first `N` and the last `N` of them, which may overlap. `MOST` is the length of
/// the longest such frame.
#[inline(always)]
fn ends<const N: usize, const MOST: usize>(output: &mut Vec<u8>, header: [u8; 2], payload: &[u8]) {
    let (Some(first), Some(last)) = (payload.first_chunk::<N>(), payload.last_chunk::<N>()) else { return };
    let mut frame = [0; MOST];
    frame[..2].copy_from_slice(&header);
    frame[2..2 + N].copy_from_slice(first);
    let end = output.len() + 2 + payload.len();
    output.extend_from_slice(&frame);
    output.truncate(end);
    if let Some(end) = output.last_chunk_mut() {
        *end = *last;
    }
}

/// Up to so many bytes a payload is short.
pub(crate) const SHORT: usize = 64;
