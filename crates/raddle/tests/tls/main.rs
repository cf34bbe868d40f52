//! wss, from one end to the other: the cases of group U of `docs/hostile-inputs.md`, and what certificates are for.
#![cfg(all(feature = "client", feature = "server", feature = "tls"))]

mod authority;
mod certificates;
mod clients;
mod floods;
mod handshakes;
mod raw;
mod roots;
mod serving;
mod support;
