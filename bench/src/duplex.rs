//! Both directions at once: one thread sends, another receives what is echoed, on one connection.

use std::error::Error;
use std::fs;
use std::thread;
use std::time::Instant;

use raddle::{Client, ClientTls, Close, CloseCode, Message};

use crate::options::Options;
use crate::peers::{RADDLE_THREADS, RADDLE_THREADS_TLS, provision};
use crate::process::{self, Server};
use crate::secure;

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let peer = if options.tls { RADDLE_THREADS_TLS } else { RADDLE_THREADS };
    let server = Server::start(&peer, &[])?;
    let (mut reader, writer) = if options.tls {
        let root = fs::read(provision::certificate()?.join(secure::CHAIN))?;
        let tls = ClientTls::new().without_system_roots().add_roots_pem(root)?;
        // The certificate is valid for this name.
        let client = Client::new().tls(tls.server_name("localhost")?);
        client.connect(&format!("wss://{}/", server.address))?.split()
    } else {
        raddle::connect(&format!("ws://{}/", server.address))?.split()
    };
    let (begun, cpu) = (Instant::now(), process::own_cpu());
    let sending = thread::spawn(move || (0..MESSAGES).try_for_each(|number| writer.send(&message(number)).map(drop)));
    for number in 0..MESSAGES {
        if reader.next_message()? != Some(Message::Binary(&message(number))) {
            return Err(format!("message {number} is not what was sent").into());
        }
    }
    sending.join().map_err(|_| "the sender has panicked")??;
    let (time, cpu) = (begun.elapsed(), process::own_cpu() - cpu);
    let end = reader.close(Close::code(CloseCode::NORMAL));
    println!("duplex: {MESSAGES} MiB each way in {time:.1?}, {cpu:.1?} of the client's CPU time; {end}");
    Ok(())
}

/// 1 MiB that no other message has.
fn message(number: usize) -> Vec<u8> {
    (0..1 << 17)
        .flat_map(|place: u64| (place.wrapping_mul(0x9e37_79b9) ^ ((number as u64) << 40)).to_le_bytes())
        .collect()
}

const MESSAGES: usize = 1024;
