//! permessage-deflate (RFC 7692), as programs ask for it: numbers in, settings out.

use raddle_socket::{Deflate, Role};

use crate::status::Failure;

/// The server forgets each message that it has sent (RFC 7692, section 7.1.1.1).
pub const RADDLE_SERVER_NO_CONTEXT_TAKEOVER: u32 = 1;
/// The client forgets each message that it has sent (RFC 7692, section 7.1.1.2).
pub const RADDLE_CLIENT_NO_CONTEXT_TAKEOVER: u32 = 2;

/// What is wanted of permessage-deflate; 0 for the default of each.
pub(crate) fn parse(
    level: u32,
    threshold: usize,
    flags: u32,
    server_bits: u32,
    client_bits: u32,
) -> Result<Deflate, Failure> {
    let mut deflate = Deflate::default();
    match level {
        0 => {}
        1..=9 => deflate.level = level as u8,
        _ => return Err(Failure::argument("level: 1 to 9, or 0 for the default")),
    }
    if threshold != 0 {
        deflate.threshold = threshold;
    }
    let windows = [
        (server_bits, &mut deflate.server_max_window_bits, "server_window_bits: 9 to 15, or 0 for the default"),
        (client_bits, &mut deflate.client_max_window_bits, "client_window_bits: 9 to 15, or 0 for the default"),
    ];
    for (bits, window, text) in windows {
        match bits {
            0 => {}
            9..=15 => *window = bits as u8,
            _ => return Err(Failure::argument(text)),
        }
    }
    if flags & !(RADDLE_SERVER_NO_CONTEXT_TAKEOVER | RADDLE_CLIENT_NO_CONTEXT_TAKEOVER) != 0 {
        return Err(Failure::argument(
            "flags: RADDLE_SERVER_NO_CONTEXT_TAKEOVER and RADDLE_CLIENT_NO_CONTEXT_TAKEOVER",
        ));
    }
    deflate.server_no_context_takeover = flags & RADDLE_SERVER_NO_CONTEXT_TAKEOVER != 0;
    deflate.client_no_context_takeover = flags & RADDLE_CLIENT_NO_CONTEXT_TAKEOVER != 0;
    Ok(deflate)
}

/// The flags of what was agreed on.
pub(crate) fn flags(agreed: &Deflate) -> u8 {
    let forgets = [
        (Role::Server, RADDLE_SERVER_NO_CONTEXT_TAKEOVER as u8),
        (Role::Client, RADDLE_CLIENT_NO_CONTEXT_TAKEOVER as u8),
    ];
    forgets.iter().filter(|(role, _)| !agreed.keeps_context(*role)).map(|(_, flag)| flag).sum()
}
