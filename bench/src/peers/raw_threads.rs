//! The limit of a thread per connection: it reads, and writes what it has read.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

pub fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::Builder::new().spawn(move || {
            let mut space = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut space) {
                if stream.write_all(&space[..count]).is_err() {
                    break;
                }
            }
        })?;
    }
}
