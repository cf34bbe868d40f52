//! A slow inflater by the letter of RFC 1951, with a window that it holds its input to: the oracle of what is compressed.

/// What the peer of a compressor knows: the window, and nothing beyond.
pub(crate) struct Oracle {
    history: Vec<u8>,
    window: usize,
}

/// Bits, the least significant of a byte first (RFC 1951, section 3.1.1).
struct Bits<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, String> {
        let mut value = 0;
        for index in 0..count {
            let byte = self.bytes.get(self.place / 8).ok_or("the data ends within a block")?;
            value |= usize::from(byte >> (self.place % 8) & 1) << index;
            self.place += 1;
        }
        Ok(value)
    }
}

/// A Huffman code (section 3.2.2): how many codes of each length, and their symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|length| counts[*length] += 1);
        counts[0] = 0;
        let of_length = |wanted| (0..lengths.len()).filter(move |symbol| lengths[*symbol] == wanted);
        Self { counts, symbols: (1..16).flat_map(of_length).collect() }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, String> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("no such code".into())
    }
}

impl Oracle {
    pub(crate) fn new(window_bits: u8) -> Self {
        Self { history: Vec::new(), window: 1 << window_bits }
    }

    /// Forgets what was received: for a peer without context takeover.
    pub(crate) fn forget(&mut self) {
        self.history.clear();
    }

    /// The message whose compressed payload this is (RFC 7692, section 7.2.2).
    pub(crate) fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let bytes = [payload, &[0, 0, 0xff, 0xff]].concat();
        let start = self.history.len();
        let mut bits = Bits { bytes: &bytes, place: 0 };
        while bits.place < bytes.len() * 8 {
            self.block(&mut bits)?;
        }
        Ok(self.history[start..].to_vec())
    }

    fn block(&mut self, bits: &mut Bits<'_>) -> Result<(), String> {
        if bits.take(1)? == 1 {
            return Err("the last block of a stream".into());
        }
        match bits.take(2)? {
            0 => self.stored(bits),
            1 => {
                let lengths: Vec<usize> = (0..288)
                    .map(|symbol| match symbol {
                        0..=143 => 8,
                        144..=255 => 9,
                        256..=279 => 7,
                        _ => 8,
                    })
                    .collect();
                self.compressed(bits, &Code::new(&lengths), &Code::new(&[5; 30]))
            }
            2 => {
                let (lengths, distances) = Self::codes(bits)?;
                self.compressed(bits, &lengths, &distances)
            }
            _ => Err("block type 3".into()),
        }
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Result<(), String> {
        bits.place = bits.place.next_multiple_of(8);
        let (length, inverse) = (bits.take(16)?, bits.take(16)?);
        if length != inverse ^ 0xffff {
            return Err("the length of a stored block".into());
        }
        for _ in 0..length {
            let byte = bits.take(8)?;
            self.history.push(byte as u8);
        }
        Ok(())
    }

    /// The codes of a dynamic block (section 3.2.7).
    fn codes(bits: &mut Bits<'_>) -> Result<(Code, Code), String> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances, count) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
        let mut lengths = [0; 19];
        for place in &ORDER[..count] {
            lengths[*place] = bits.take(3)?;
        }
        let code = Code::new(&lengths);
        let mut lengths: Vec<usize> = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match code.read(bits)? {
                16 => (*lengths.last().ok_or("nothing to repeat")?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        if lengths.len() > literals + distances {
            return Err("too many lengths".into());
        }
        Ok((Code::new(&lengths[..literals]), Code::new(&lengths[literals..])))
    }

    fn compressed(&mut self, bits: &mut Bits<'_>, lengths: &Code, distances: &Code) -> Result<(), String> {
        loop {
            match lengths.read(bits)? {
                literal @ 0..=255 => self.history.push(literal as u8),
                256 => return Ok(()),
                symbol => {
                    let (base, extra) = *LENGTHS.get(symbol - 257).ok_or("no such length")?;
                    let length = base + bits.take(extra)?;
                    let (base, extra) = *DISTANCES.get(distances.read(bits)?).ok_or("no such distance")?;
                    let distance = base + bits.take(extra)?;
                    if distance > self.window || distance > self.history.len() {
                        return Err(format!("a distance of {distance} in a window of {}", self.window));
                    }
                    for _ in 0..length {
                        self.history.push(self.history[self.history.len() - distance]);
                    }
                }
            }
        }
    }
}

/// Lengths and distances with their extra bits (section 3.2.5).
#[rustfmt::skip]
const LENGTHS: [(usize, usize); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2), (23, 2),
    (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5),
    (227, 5), (258, 0),
];
#[rustfmt::skip]
const DISTANCES: [(usize, usize); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4), (49, 4), (65, 5), (97, 5),
    (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8), (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11),
    (6145, 11), (8193, 12), (12289, 12), (16385, 13), (24577, 13),
];
