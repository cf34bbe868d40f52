//! Where a stream of TLS records stands (RFC 8446, section 5.1): bytes in, what the record under way still lacks out.

/// Follows records by their headers.
#[derive(Debug, Default)]
pub(crate) struct Records {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    begun: usize,
    /// Bytes behind a whole header that have not.
    lacking: usize,
}

impl Records {
    /// Takes note of bytes that have come.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = bytes.len().min(self.lacking());
            let (some, rest) = bytes.split_at(count);
            bytes = rest;
            if self.begun < HEADER {
                self.header[self.begun..][..count].copy_from_slice(some);
                self.begun += count;
                if self.begun == HEADER {
                    self.lacking = u16::from_be_bytes([self.header[3], self.header[4]]).into();
                }
            } else {
                self.lacking -= count;
            }
            if self.begun == HEADER && self.lacking == 0 {
                self.begun = 0;
            }
        }
    }

    /// Bytes without which nothing of the record under way can be understood: of its header, or of what follows that. Between two
    /// records, those of a header.
    pub(crate) fn lacking(&self) -> usize {
        if self.begun < HEADER { HEADER - self.begun } else { self.lacking }
    }

    /// Tells whether a record has begun.
    pub(crate) fn is_amid(&self) -> bool {
        self.begun > 0
    }
}

/// Bytes of a record's header: its type, a version, and the length of what follows.
const HEADER: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_each_record_is_known_wherever_the_stream_is_cut() {
        let mut stream = Vec::new();
        let mut ends = vec![0];
        for length in [3_u16, 0, 1, 700, 0, 0, 256] {
            stream.extend_from_slice(&[22, 3, 1]);
            stream.extend_from_slice(&length.to_be_bytes());
            stream.resize(stream.len() + usize::from(length), 0xff);
            ends.push(stream.len());
        }
        for step in [1, 2, 3, 4, 5, 6, 7, 100, stream.len()] {
            let mut records = Records::default();
            let mut at = 0;
            for bytes in stream.chunks(step) {
                records.pass(bytes);
                at += bytes.len();
                let begins = ends.iter().rposition(|end| *end <= at).expect("the first is 0");
                let expected = match (at - ends[begins], ends.get(begins + 1)) {
                    (begun @ 0..HEADER, _) => HEADER - begun,
                    (_, Some(end)) => end - at,
                    (_, None) => unreachable!("it is behind the end"),
                };
                assert_eq!(records.lacking(), expected, "behind {at} bytes, {step} at a time");
                assert_eq!(records.is_amid(), !ends.contains(&at), "behind {at} bytes, {step} at a time");
            }
        }
    }
}
