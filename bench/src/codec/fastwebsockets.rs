//! fastwebsockets.

use std::hint::black_box;

use fastwebsockets::{FragmentCollector, Frame, Payload, Role, WebSocket, unmask};
use futures_util::FutureExt;

use super::memory::Memory;
use super::{BATCH, Operation, Work};

pub fn work(operation: Operation) -> Option<Work> {
    Some(match operation {
        Operation::Parse(length) => {
            let socket = WebSocket::after_handshake(Memory::messages(length), Role::Server);
            let mut socket = FragmentCollector::new(socket);
            Box::new(move || {
                for _ in 0..BATCH {
                    let frame = socket.read_frame().now_or_never().expect("memory is ready");
                    assert_eq!(black_box(frame.expect("the frames are good").payload).len(), length);
                }
                BATCH
            })
        }
        Operation::Encode(length) => {
            let (payload, mut buffer) = (vec![7; length], Vec::new());
            Box::new(move || {
                for _ in 0..BATCH {
                    black_box(Frame::binary(Payload::Borrowed(black_box(&payload))).write(&mut buffer));
                }
                BATCH
            })
        }
        Operation::Mask(length) => {
            let mut payload = vec![7; length];
            Box::new(move || {
                for _ in 0..BATCH {
                    unmask(black_box(&mut payload), [1, 2, 3, 4]);
                }
                BATCH
            })
        }
        Operation::Ascii(_) | Operation::Greek(_) => {
            let text = operation.text()?;
            Box::new(move || {
                for _ in 0..BATCH {
                    assert!(Frame::text(Payload::Borrowed(black_box(&text))).is_utf8());
                }
                BATCH
            })
        }
        Operation::Handshake => return None,
    })
}
