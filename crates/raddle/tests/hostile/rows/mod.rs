//! The lines of the table, by the groups of docs/hostile-inputs.md.

mod a_raw;
mod b_request_line;
mod c_headers;
mod d_websocket_headers;
mod e_offers;
mod f_bodies;
mod g_responses;
mod h_frame_header;
mod i_messages;
mod j_ping;
mod k_close;
mod l_text;
mod m_compressed;

use crate::case::{Case, Setup};
use raddle::{HeadLimits, Limits};

/// All lines.
pub(crate) fn all() -> Vec<Case> {
    [
        a_raw::rows(),
        b_request_line::rows(),
        c_headers::rows(),
        d_websocket_headers::rows(),
        e_offers::rows(),
        f_bodies::rows(),
        g_responses::rows(),
        h_frame_header::rows(),
        i_messages::rows(),
        j_ping::rows(),
        k_close::rows(),
        l_text::rows(),
        m_compressed::rows(),
    ]
    .concat()
}

/// An endpoint with these limits of messages.
fn limited(limits: Limits) -> Setup {
    Setup { limits, ..Setup::default() }
}

/// A server that takes larger heads than by default, for inputs that have to be long.
fn roomy() -> Setup {
    Setup { head: HeadLimits { head: 256 * 1024, line: 128 * 1024, headers: 100 }, ..Setup::default() }
}
