//! The limit of a thread per connection: it reads, and writes what it has read.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::raw;

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    raw::with_threads(listener, Ok, echo)
}

fn echo(mut stream: TcpStream) {
    let mut space = vec![0; raw::SPACE];
    while let Ok(count @ 1..) = stream.read(&mut space) {
        if stream.write_all(&space[..count]).is_err() {
            break;
        }
    }
}
