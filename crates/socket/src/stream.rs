//! The stream of a connection: a socket as it is, or whatever else carries it.

use std::any::Any;
use std::ops::Deref;

use crate::transport::{Socket, Transport};

/// A socket as it is, or whatever else carries a connection.
// A bare socket is no larger than the pointers to something else: nearly all connections have one, and nothing on the heap for it.
pub(crate) enum Stream {
    Socket(Socket),
    Other(Box<dyn Transport>),
}

impl Stream {
    pub(crate) fn new<T: Transport>(transport: T) -> Self {
        let mut transport = Some(transport);
        match (&mut transport as &mut dyn Any).downcast_mut::<Option<Socket>>().and_then(Option::take) {
            Some(socket) => Self::Socket(socket),
            None => Self::Other(Box::new(transport.expect("only a socket was taken"))),
        }
    }

    /// Tells whether a write may wait for room.
    pub(crate) fn writes_wait(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Other(transport) => transport.descriptor().is_none(),
        }
    }
}

impl Deref for Stream {
    type Target = dyn Transport;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Socket(socket) => socket,
            Self::Other(transport) => &**transport,
        }
    }
}
