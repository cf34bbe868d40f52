//! The messages that are sent back and forth; the peers in other languages send the same.

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

/// All of them: empty ones, the lengths at which a header changes, characters of all lengths.
pub fn messages() -> Vec<Sent> {
    let texts = ["".into(), "Hello".into(), "zażółć 🦀".into(), "a".repeat(125), "a".repeat(126), "é".repeat(40_000)];
    let binaries = [0, 1, 256, 65_535, 65_536, 1 << 20].map(|length| (0..length).map(|byte| byte as u8).collect());
    texts.map(Sent::Text).into_iter().chain(binaries.map(Sent::Binary)).collect()
}

/// The end of every exchange.
pub const CODE: u16 = 4321;
pub const REASON: &str = "that is all";
