//! Time per message that is compressed, framed, received and inflated, beside what the same calls of zlib-rs take alone.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use raddle_core::deflate::Compressor;
use raddle_core::{Deflate, Event, Limits, Message, Receiver, Role, Sender};
use zlib_rs::{DeflateFlush, Inflate, InflateFlush};

use crate::options::Options;
use crate::report::Table;
use crate::rounds;

/// Small enough that both sides run under the same conditions.
const MESSAGES: usize = 2000;
const AGREED: Deflate = Deflate {
    level: 1,
    threshold: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

type Pass = Box<dyn FnMut(&str)>;

pub fn run(options: &Options) -> Result<Vec<Table>, Box<dyn Error>> {
    eprintln!("bench: deflate");
    let messages: Vec<String> = (0..MESSAGES).map(message).collect();
    let (mut bare, mut ours) = (Bare::new(), Ours::new());
    let mut passes: [Result<Pass, _>; 2] =
        [Ok(Box::new(move |message| bare.pass(message))), Ok(Box::new(move |message| ours.pass(message)))];
    let found = rounds::interleave(&mut passes, options.rounds, |pass| {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < options.seconds {
            messages.iter().for_each(|message| pass(message));
            count += MESSAGES;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / count as f64)
    });
    let values = rounds::summarize(&found, |_| Some(0)).into_iter();
    Ok(vec![Table {
        name: "deflate",
        title: "permessage-deflate".to_owned(),
        explanation:
            "Time in µs per message of 1 KiB of JSON, compressed at level 1 with context takeover, framed, received \
            and inflated, and in parentheses its ratio to the same calls of zlib-rs alone in the same round; medians."
                .to_owned(),
        columns: vec!["µs".to_owned()],
        rows: ["zlib-rs", "raddle-core"].into_iter().map(str::to_owned).zip(values.map(|value| vec![value])).collect(),
    }])
}

/// About a kilobyte, that resembles the others.
fn message(index: usize) -> String {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let mut text = format!("{{\"id\":{index},\"items\":[");
    while text.len() < 960 {
        let (price, count) = (random.u32(100..99999), random.u32(1..20));
        text += &format!(
            "{{\"sku\":\"A{:06}\",\"price\":{price},\"count\":{count},\"open\":true}},",
            random.u32(..999_999)
        );
    }
    text.truncate(1022);
    text + "]}"
}

struct Bare {
    compressor: zlib_rs::Deflate,
    inflater: Inflate,
    compressed: Vec<u8>,
    inflated: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        Self {
            compressor: zlib_rs::Deflate::new(1, false, 15),
            inflater: Inflate::new(false, 15),
            compressed: vec![0; 4096],
            inflated: vec![0; 4096],
        }
    }

    fn pass(&mut self, message: &str) {
        let before = self.compressor.total_out();
        self.compressor
            .compress(message.as_bytes(), &mut self.compressed, DeflateFlush::SyncFlush)
            .expect("there is room");
        let length = (self.compressor.total_out() - before) as usize;
        let before = self.inflater.total_out();
        self.inflater
            .decompress(&self.compressed[..length], &mut self.inflated, InflateFlush::SyncFlush)
            .expect("what was compressed");
        let length = (self.inflater.total_out() - before) as usize;
        assert_eq!(black_box(&self.inflated[..length]).len(), message.len());
    }
}

struct Ours {
    compressor: Compressor,
    sender: Sender,
    receiver: Receiver,
}

impl Ours {
    fn new() -> Self {
        Self {
            compressor: Compressor::new(&AGREED, Role::Server),
            sender: Sender::server(),
            receiver: Receiver::new(Role::Client, Limits::default()).with_deflate(Some(AGREED)),
        }
    }

    fn pass(&mut self, message: &str) {
        self.sender.send(self.compressor.compress(Message::Text(message))).expect("nothing was closed");
        let output = self.sender.output();
        let count = output.len();
        self.receiver.feed(output);
        self.sender.written(count);
        assert_eq!(self.receiver.advance(), Ok(true));
        let Some(Event::Text(text)) = self.receiver.event() else { panic!("a text") };
        assert_eq!(black_box(text).len(), message.len());
    }
}
