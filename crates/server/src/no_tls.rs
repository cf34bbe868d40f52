//! What stands for TLS in a build without it: a type of which there is no value.

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum ServerTls {}
