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

/// A text of a kind that subscribers get: of all sizes, and alike near and far.
pub fn text(kind: &str, index: usize) -> String {
    format!("{{\"{kind}\":{index},\"name\":\"name {}\"}}", index % 7).repeat(1 + index * 7 % 41)
}

/// The kinds of those texts: what each gets for itself, what all get, and what comes back; and how many there are of each.
pub const KINDS: [&str; 3] = ["own", "shared", "echo"];
pub const ROUNDS: usize = 300;

/// The end of every exchange.
pub const CODE: u16 = 4321;
pub const REASON: &str = "that is all";
