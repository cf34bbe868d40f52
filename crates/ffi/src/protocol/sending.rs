//! Sending of a protocol object: messages in, compressed where that was agreed on (RFC 7692), frames in the output.

use raddle_core::deflate::{Compressor, LentCompressor};
use raddle_core::{Close, Deflate, Message, Progress, Role, SendError};

use super::endpoint::Endpoint;

/// The sending side's part of an agreement on permessage-deflate.
pub(super) struct Compression {
    deflate: Deflate,
    role: Role,
    /// With context takeover: from the first message on.
    own: Option<Compressor>,
    message: Fragmented,
}

/// The message that is being sent fragment by fragment.
#[derive(Default)]
enum Fragmented {
    #[default]
    None,
    Own,
    Lent(LentCompressor),
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The opening handshake is not done, or has failed.
    NotOpen,
    /// The call breaks a rule.
    Send(SendError),
}

impl Endpoint {
    /// Sends a whole message.
    pub(crate) fn send(&mut self, message: Message<'_>) -> Result<(), Unsent> {
        self.opened_only()?;
        let compression = self.compression.as_mut().filter(|it| it.deflate.compresses(message.as_bytes().len()));
        match compression {
            // What is not going to be sent is not compressed either.
            Some(compression) if !self.sender.is_closed() && !self.sender.is_amid_message() => {
                let mut compressor = compression.borrow();
                let sent = self.sender.send(compressor.get().compress(message));
                if sent.is_err() {
                    compressor.get().reset();
                }
                compressor.get().shrink();
                Ok(sent?)
            }
            _ => Ok(self.sender.send(message)?),
        }
    }

    /// Sends a fragment of a message; the first begins it, the one with [`Progress::Last`] ends it.
    pub(crate) fn send_fragment(&mut self, fragment: Message<'_>, progress: Progress) -> Result<(), Unsent> {
        self.opened_only()?;
        let Some(compression) = &mut self.compression else {
            return Ok(self.sender.send_fragment(fragment, progress)?);
        };
        if !self.sender.is_amid_message() && !self.sender.is_closed() {
            // How large the message becomes is not known: so it is compressed.
            compression.message = match compression.deflate.keeps_context(compression.role) {
                true => Fragmented::Own,
                false => Fragmented::Lent(Compressor::lend(&compression.deflate, compression.role)),
            };
        }
        let Compression { deflate, role, own, message } = &mut **compression;
        let compressor = match message {
            _ if self.sender.is_closed() => None,
            Fragmented::None => None,
            Fragmented::Own => Some(own.get_or_insert_with(|| Compressor::new(deflate, *role))),
            Fragmented::Lent(lent) => Some(&mut **lent),
        };
        let sent = match compressor {
            None => self.sender.send_fragment(fragment, progress),
            Some(compressor) => {
                let sent = self.sender.send_fragment(compressor.compress_fragment(fragment, progress), progress);
                if sent.is_err() {
                    compressor.reset();
                }
                compressor.shrink();
                sent
            }
        };
        if !self.sender.is_amid_message() {
            *message = Fragmented::None;
        }
        Ok(sent?)
    }

    /// Sends a message whose payload the program keeps where it is until it is written: it is not copied, but for a client,
    /// which masks it, and where it is compressed.
    pub(crate) fn send_lent(&mut self, message: Message<'_>) -> Result<(), Unsent> {
        self.opened_only()?;
        let is_compressed = self.compression.as_ref().is_some_and(|it| it.deflate.compresses(message.as_bytes().len()));
        if is_compressed || !self.sender.is_unmasked() {
            return self.send(message);
        }
        if self.sender.is_amid_message() && !self.sender.is_closed() {
            return Err(Unsent::Send(SendError::MessageOpen));
        }
        self.sender.send_header(message, Progress::Last)?;
        self.output.lend(&mut self.sender, message.as_bytes());
        Ok(())
    }

    /// Begins the closing handshake.
    pub(crate) fn close(&mut self, close: Option<Close<'_>>) -> Result<(), Unsent> {
        self.opened_only()?;
        Ok(self.sender.close(close)?)
    }

    pub(crate) fn ping(&mut self, payload: &[u8]) -> Result<(), Unsent> {
        self.opened_only()?;
        Ok(self.sender.ping(payload)?)
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<(), Unsent> {
        self.opened_only()?;
        Ok(self.sender.pong(payload)?)
    }

    pub(super) fn shrink_compression(&mut self) {
        if let Some(compression) = self.compression.as_mut().filter(|it| !matches!(it.message, Fragmented::Own)) {
            compression.own = None;
        }
    }

    fn opened_only(&self) -> Result<(), Unsent> {
        if self.is_opened() { Ok(()) } else { Err(Unsent::NotOpen) }
    }
}

impl From<SendError> for Unsent {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl Compression {
    pub(super) fn new(deflate: Deflate, role: Role) -> Self {
        Self { deflate, role, own: None, message: Fragmented::None }
    }

    fn borrow(&mut self) -> Borrowed<'_> {
        if self.deflate.keeps_context(self.role) {
            Borrowed::Own(self.own.get_or_insert_with(|| Compressor::new(&self.deflate, self.role)))
        } else {
            Borrowed::Lent(Compressor::lend(&self.deflate, self.role))
        }
    }
}

enum Borrowed<'a> {
    Own(&'a mut Compressor),
    Lent(LentCompressor),
}

impl Borrowed<'_> {
    fn get(&mut self) -> &mut Compressor {
        match self {
            Self::Own(compressor) => compressor,
            Self::Lent(compressor) => compressor,
        }
    }
}
