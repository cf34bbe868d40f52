//! tungstenite.

use std::hint::black_box;

use tungstenite::protocol::Role;
use tungstenite::{Bytes, Message, Utf8Bytes, WebSocket, accept};

use super::memory::Memory;
use super::{BATCH, OPENING, Operation, Work};

pub fn work(operation: Operation) -> Option<Work> {
    Some(match operation {
        Operation::Parse(length) => {
            let mut socket = WebSocket::from_raw_socket(Memory::messages(length), Role::Server, None);
            Box::new(move || {
                for _ in 0..BATCH {
                    assert_eq!(black_box(socket.read().expect("the frames are good")).len(), length);
                }
                BATCH
            })
        }
        Operation::Encode(length) => {
            let payload = Bytes::from(vec![7; length]);
            let mut socket = WebSocket::from_raw_socket(Memory::messages(length), Role::Server, None);
            Box::new(move || {
                for _ in 0..BATCH {
                    socket.write(Message::Binary(black_box(&payload).clone())).expect("open");
                }
                socket.flush().expect("memory");
                BATCH
            })
        }
        Operation::Mask(_) => return None,
        Operation::Ascii(_) | Operation::Greek(_) => {
            let text = Bytes::from(operation.text()?);
            Box::new(move || {
                for _ in 0..BATCH {
                    assert!(Utf8Bytes::try_from(black_box(&text).clone()).is_ok());
                }
                BATCH
            })
        }
        Operation::Handshake => {
            let memory = Memory::new(OPENING);
            Box::new(move || {
                assert!(black_box(accept(memory.clone())).is_ok());
                1
            })
        }
    })
}
