//! Agreeing on permessage-deflate (RFC 7692, sections 5 and 7.1): offers in, a response out, and the reverse.

use std::fmt::Write;

use super::Extension;
use crate::Deflate;

/// The parameters of an offer or of a response, in order (section 7.1).
#[derive(Clone, Copy)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// An offer may have it without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Deflate {
    /// Accepts the first of the client's `offers` that can be, in the client's order of preference. What was agreed, and the
    /// value of the response's Sec-WebSocket-Extensions; `None`: there is no such offer.
    ///
    /// An offer with a parameter that is unknown, is there twice or has a value that it may not have is declined
    /// (section 7), and one with a window of 8 bits, which common deflate code cannot keep to.
    pub(crate) fn accept(self, offers: &[Extension<'_>]) -> Option<(Self, String)> {
        offers.iter().filter_map(Parameters::parse).find_map(|offer| self.usable().accept_one(offer))
    }

    fn accept_one(self, offer: Parameters) -> Option<(Self, String)> {
        let least = |offered: u8, ours: u8| (offered > 8).then_some(offered.min(ours));
        let server_max_window_bits = least(offer.server_max_window_bits.unwrap_or(15), self.server_max_window_bits)?;
        // A client that does not offer it cannot be asked for it (section 7.1.2.2).
        let client_max_window_bits = match offer.client_max_window_bits {
            Some(bits) => least(bits.unwrap_or(15), self.client_max_window_bits)?,
            None => 15,
        };
        let agreed = Self {
            server_no_context_takeover: self.server_no_context_takeover || offer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || offer.client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            ..self
        };
        let response = Parameters {
            server_no_context_takeover: agreed.server_no_context_takeover,
            client_no_context_takeover: agreed.client_no_context_takeover,
            // Offered, it has to be answered (section 7.1.2.1).
            server_max_window_bits: (offer.server_max_window_bits.is_some() || server_max_window_bits < 15)
                .then_some(server_max_window_bits),
            client_max_window_bits: (client_max_window_bits < 15).then_some(Some(client_max_window_bits)),
        };
        Some((agreed, response.encode()))
    }

    /// The value of Sec-WebSocket-Extensions by which a client offers this.
    pub(crate) fn offer(self) -> String {
        self.usable().offered().encode()
    }

    /// What is agreed on, where the server has accepted this offer with `response`. `None`: the response breaks a rule, has
    /// another extension than this one, or does not keep to the offer.
    pub(crate) fn confirm(self, response: &[Extension<'_>]) -> Option<Self> {
        let [extension] = response else { return None };
        let (offer, accepted) = (self.usable().offered(), Parameters::parse(extension)?);
        // What was offered with a limit has to be answered within it; what was not may be answered all the same, as every
        // window can be inflated (section 7.1.2.1).
        let server_max_window_bits = match (offer.server_max_window_bits, accepted.server_max_window_bits) {
            (Some(offered), Some(accepted)) if accepted > offered => return None,
            (Some(_), None) => return None,
            (_, accepted) => accepted.unwrap_or(15),
        };
        // A server that forgets nothing has not accepted (section 7.1.1.1).
        if offer.server_no_context_takeover && !accepted.server_no_context_takeover {
            return None;
        }
        let most = self.usable().client_max_window_bits;
        let client_max_window_bits = match accepted.client_max_window_bits {
            // A response has a value, and a compressor does not keep to 8 bits.
            Some(None | Some(..=8)) => return None,
            Some(Some(bits)) if bits > most => return None,
            Some(Some(bits)) => bits,
            None => most,
        };
        Some(Self {
            server_no_context_takeover: accepted.server_no_context_takeover,
            // It was a hint that the server need not answer, and is kept (section 7.1.1.2).
            client_no_context_takeover: accepted.client_no_context_takeover || offer.client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            ..self.usable()
        })
    }

    fn offered(self) -> Parameters {
        let below_most = |bits: u8| (bits < 15).then_some(bits);
        Parameters {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: below_most(self.server_max_window_bits),
            client_max_window_bits: Some(below_most(self.client_max_window_bits)),
        }
    }
}

impl Parameters {
    /// `None`: it is another extension, or not one that may be accepted (section 7.1).
    fn parse(extension: &Extension<'_>) -> Option<Self> {
        if extension.name != NAME {
            return None;
        }
        let mut parameters = Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: None,
        };
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            let twice = match *name {
                SERVER_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    std::mem::replace(&mut parameters.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT_TAKEOVER if value.is_none() => {
                    std::mem::replace(&mut parameters.client_no_context_takeover, true)
                }
                SERVER_MAX_WINDOW_BITS => parameters.server_max_window_bits.replace(window_bits(value?)?).is_some(),
                CLIENT_MAX_WINDOW_BITS => {
                    let bits = value.map(|value| window_bits(value).ok_or(())).transpose().ok()?;
                    parameters.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(parameters)
    }

    fn encode(self) -> String {
        let mut value = NAME.to_owned();
        let mut add = |name: &str, bits: Option<u8>| {
            let _ = write!(value, "; {name}");
            if let Some(bits) = bits {
                let _ = write!(value, "={bits}");
            }
        };
        if self.server_no_context_takeover {
            add(SERVER_NO_CONTEXT_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            add(CLIENT_NO_CONTEXT_TAKEOVER, None);
        }
        if let Some(bits) = self.server_max_window_bits {
            add(SERVER_MAX_WINDOW_BITS, Some(bits));
        }
        if let Some(bits) = self.client_max_window_bits {
            add(CLIENT_MAX_WINDOW_BITS, bits);
        }
        value
    }
}

/// A decimal number from 8 to 15 without leading zeros (section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let place = ["8", "9", "10", "11", "12", "13", "14", "15"].iter().position(|bits| *bits == value)?;
    Some(8 + place as u8)
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";
