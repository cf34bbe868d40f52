//! raddle-core.

use std::hint::black_box;
use std::io::Read;

use raddle_core::handshake::{Accept, HeadLimits, Hosts, Origins, RequestParser};
use raddle_core::{Event, Limits, Message, Receiver, Role, Sender, mask, utf8};

use super::memory::Memory;
use super::{BATCH, OPENING, Operation, Work};

pub fn work(operation: Operation) -> Option<Work> {
    Some(match operation {
        Operation::Parse(length) => {
            let (mut memory, mut receiver) = (Memory::messages(length), Receiver::new(Role::Server, Limits::default()));
            Box::new(move || {
                let mut count = 0;
                while count < BATCH {
                    while !receiver.advance().expect("the frames are good") {
                        let read = memory.read(receiver.space()).expect("memory");
                        receiver.filled(read);
                    }
                    let Some(Event::Binary(payload)) = receiver.event() else {
                        panic!("only binary messages are sent")
                    };
                    assert_eq!(black_box(payload).len(), length);
                    count += 1;
                }
                count
            })
        }
        Operation::Encode(length) => {
            let (payload, mut sender) = (vec![7; length], Sender::server());
            Box::new(move || {
                for _ in 0..BATCH {
                    sender.send(Message::Binary(black_box(&payload))).expect("open");
                }
                let count = black_box(sender.output()).len();
                sender.written(count);
                BATCH
            })
        }
        Operation::Mask(length) => {
            let mut payload = vec![7; length];
            Box::new(move || {
                for _ in 0..BATCH {
                    black_box(mask::apply(black_box(&mut payload), [1, 2, 3, 4]));
                }
                BATCH
            })
        }
        Operation::Ascii(_) | Operation::Greek(_) => {
            let text = operation.text()?;
            Box::new(move || {
                for _ in 0..BATCH {
                    assert_eq!(utf8::valid_prefix(black_box(&text)), Ok(text.len()));
                }
                BATCH
            })
        }
        Operation::Handshake => Box::new(|| {
            let request = RequestParser::new(HeadLimits::default()).advance(black_box(OPENING));
            let request = request.expect("the request is good").expect("and whole");
            request.check(&Origins::SameOrigin, &Hosts::Any).expect("from its own page");
            black_box(request.accept(&Accept::default()).expect("an opening handshake"));
            1
        }),
    })
}
