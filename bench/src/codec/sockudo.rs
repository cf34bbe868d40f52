//! sockudo-ws.

use std::hint::black_box;

use bytes::BytesMut;
use sockudo_ws::frame::{OpCode, encode_frame};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::protocol::Protocol;
use sockudo_ws::simd::apply_mask;
use sockudo_ws::utf8::validate_utf8;
use sockudo_ws::{Config, Message, RECV_BUFFER_SIZE, Role};

use super::memory::Memory;
use super::{BATCH, OPENING, Operation, Work};

pub fn work(operation: Operation) -> Option<Work> {
    Some(match operation {
        Operation::Parse(length) => {
            let (config, mut memory) = (Config::default(), Memory::messages(length));
            let mut protocol = Protocol::new(Role::Server, config.max_frame_size, config.max_message_size);
            let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
            Box::new(move || {
                buffer.extend_from_slice(memory.chunk(RECV_BUFFER_SIZE));
                protocol.process_into(&mut buffer, &mut messages).expect("the frames are good");
                for message in &messages {
                    let Message::Binary(payload) = message else { panic!("only binary messages are sent") };
                    assert_eq!(black_box(payload).len(), length);
                }
                messages.drain(..).count() as u64
            })
        }
        Operation::Encode(length) => {
            let (payload, mut buffer) = (vec![7; length], BytesMut::new());
            Box::new(move || {
                for _ in 0..BATCH {
                    encode_frame(&mut buffer, OpCode::Binary, black_box(&payload), true, None);
                }
                black_box(&buffer);
                buffer.clear();
                BATCH
            })
        }
        Operation::Mask(length) => {
            let mut payload = vec![7; length];
            Box::new(move || {
                for _ in 0..BATCH {
                    apply_mask(black_box(&mut payload), [1, 2, 3, 4]);
                }
                BATCH
            })
        }
        Operation::Ascii(_) | Operation::Greek(_) => {
            let text = operation.text()?;
            Box::new(move || {
                for _ in 0..BATCH {
                    assert!(validate_utf8(black_box(&text)));
                }
                BATCH
            })
        }
        Operation::Handshake => Box::new(|| {
            let request = parse_request(black_box(OPENING)).expect("the request is good");
            let (request, _) = request.expect("and whole");
            black_box(build_response(&generate_accept_key(request.key), None, None));
            1
        }),
    })
}
