//! tokio-websockets.

use std::hint::black_box;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_websockets::{Message, ServerBuilder};

use super::memory::Memory;
use super::{BATCH, OPENING, Operation, Work};

pub fn work(operation: Operation) -> Option<Work> {
    Some(match operation {
        Operation::Parse(length) => {
            let mut socket = ServerBuilder::new().serve(Memory::messages(length));
            Box::new(move || {
                for _ in 0..BATCH {
                    let message = socket.next().now_or_never().flatten().expect("memory is ready");
                    assert_eq!(black_box(message.expect("the frames are good")).as_payload().len(), length);
                }
                BATCH
            })
        }
        Operation::Encode(length) => {
            let payload = Bytes::from(vec![7; length]);
            let mut socket = ServerBuilder::new().serve(Memory::messages(length));
            Box::new(move || {
                for _ in 0..BATCH {
                    let message = Message::binary(black_box(&payload).clone());
                    socket.feed(message).now_or_never().expect("memory is ready").expect("open");
                }
                socket.flush().now_or_never().expect("memory is ready").expect("open");
                BATCH
            })
        }
        Operation::Mask(_) | Operation::Ascii(_) | Operation::Greek(_) => return None,
        Operation::Handshake => {
            let memory = Memory::new(OPENING);
            Box::new(move || {
                let accepted = ServerBuilder::new().accept(memory.clone()).now_or_never();
                assert!(black_box(accepted).expect("memory is ready").is_ok());
                1
            })
        }
    })
}
