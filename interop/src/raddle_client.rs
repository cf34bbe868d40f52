//! raddle's client: all messages, whole and in fragments, a Ping that is answered, and the closing handshake.

use std::error::Error;
use std::time::Duration;

use raddle::{Client, ClientTls, Close, CloseCode, Deflate, Message, Pong, Proxy, Reader, Writer};

use crate::exchange::{CODE, REASON, Sent, messages};

pub fn run(url: &str, proxy: Option<Proxy>, deflate: bool, ca: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut client = Client::new();
    if let Some(ca) = ca {
        client = client.tls(ClientTls::new().without_system_roots().add_roots_pem(std::fs::read(ca)?)?);
    }
    if let Some(proxy) = proxy {
        client = client.proxy(proxy);
    }
    if deflate {
        client = client.deflate(Deflate::default());
    }
    let (mut reader, writer) = client.connect(url)?.split();
    if writer.info().deflate.is_some() != deflate {
        return Err(format!("what was agreed on: {:?}", writer.info().deflate).into());
    }
    for sent in messages() {
        let message = match &sent {
            Sent::Text(text) => Message::Text(text),
            Sent::Binary(bytes) => Message::Binary(bytes),
        };
        writer.send(message)?;
        expect(&mut reader, message)?;
        send_in_fragments(&writer, message)?;
        expect(&mut reader, message)?;
    }
    let ping = writer.ask()?;
    // Many at once: they come back in order.
    for number in 0..1000 {
        writer.send(&*number.to_string())?;
    }
    for number in 0..1000 {
        expect(&mut reader, Message::Text(&number.to_string()))?;
    }
    // It has come before, or as the reader has gone on.
    if !matches!(ping.wait(Some(Duration::from_secs(10)))?, Pong::After(_)) {
        return Err("the Ping was not answered".into());
    }
    let end = reader.close(Close { code: CloseCode(CODE), reason: REASON });
    match end.is_clean() && end.code() == CloseCode(CODE) {
        true => Ok(()),
        false => Err(format!("the end: {end}").into()),
    }
}

fn send_in_fragments(writer: &Writer, message: Message<'_>) -> Result<(), Box<dyn Error>> {
    let mut parts = writer.begin();
    match message {
        Message::Text(text) => {
            for character in text.chars().take(100) {
                parts.send(&*character.to_string())?;
            }
            parts.finish(&*text.chars().skip(100).collect::<String>())?;
        }
        Message::Binary(bytes) => {
            for part in bytes.chunks(100_000) {
                parts.send(part)?;
            }
            parts.finish(&b""[..])?;
        }
    }
    Ok(())
}

fn expect(reader: &mut Reader, expected: Message<'_>) -> Result<(), Box<dyn Error>> {
    match reader.next_message()? {
        Some(message) if message == expected => Ok(()),
        Some(message) => Err(format!("{} bytes came back that differ", message.as_bytes().len()).into()),
        None => Err("closed early".into()),
    }
}
