//! What a server has counted.

use raddle_server::{Cause, Metrics, Refusal};

use crate::arguments;
use crate::connection::close::{RADDLE_CAUSE_OVER_BUDGET, RADDLE_CAUSE_PEER_CLOSE, number_of};
use crate::guard::guard;
use crate::server::{Server, with};
use crate::status::{Failure, Status};

/// Connections that the operating system has given to the server.
pub const RADDLE_METRIC_ACCEPTED: u32 = 1;
/// WebSocket connections that were opened.
pub const RADDLE_METRIC_OPENED: u32 = 2;
/// Requests that the program has answered by HTTP with a status below 400.
pub const RADDLE_METRIC_ANSWERED: u32 = 3;
/// Connections that were not opened, for whatever reason.
pub const RADDLE_METRIC_REFUSED: u32 = 4;
/// Open connections that have ended, however.
pub const RADDLE_METRIC_ENDED: u32 = 5;
/// Messages received on all connections together.
pub const RADDLE_METRIC_RECEIVED_MESSAGES: u32 = 6;
/// Bytes received, with the headers of frames.
pub const RADDLE_METRIC_RECEIVED_BYTES: u32 = 7;
/// Messages sent or queued.
pub const RADDLE_METRIC_SENT_MESSAGES: u32 = 8;
/// Bytes that the operating system has taken, with the headers of frames.
pub const RADDLE_METRIC_SENT_BYTES: u32 = 9;
/// Published messages that a subscriber did without, as it did not keep up.
pub const RADDLE_METRIC_DROPPED_PUBLICATIONS: u32 = 10;
/// Connections now, those in the opening handshake included.
pub const RADDLE_METRIC_CONNECTIONS: u32 = 11;
/// Bytes that wait to be written now.
pub const RADDLE_METRIC_QUEUED_BYTES: u32 = 12;
/// Bytes that are buffered now for messages that are not complete, or were not taken or sent yet, in steps of 4 KiB.
pub const RADDLE_METRIC_BUFFERED_BYTES: u32 = 13;
/// Not opened: the server had all the connections it may have.
pub const RADDLE_METRIC_REFUSED_SERVER_FULL: u32 = 100;
/// Not opened: the address had all the connections it may have.
pub const RADDLE_METRIC_REFUSED_ADDRESS_FULL: u32 = 101;
/// Not opened: the address connects too often.
pub const RADDLE_METRIC_REFUSED_ADDRESS_RATE: u32 = 102;
/// Not opened: the oldest opening handshake, when others had to begin theirs.
pub const RADDLE_METRIC_REFUSED_SHED: u32 = 103;
/// Not opened: the opening handshake was not done in time.
pub const RADDLE_METRIC_REFUSED_TIMEOUT: u32 = 104;
/// Not opened: the client has gone before its request was complete.
pub const RADDLE_METRIC_REFUSED_GONE: u32 = 105;
/// Not opened: the TLS handshake has failed.
pub const RADDLE_METRIC_REFUSED_TLS: u32 = 106;
/// Not opened: the request was not in order.
pub const RADDLE_METRIC_REFUSED_HANDSHAKE: u32 = 107;
/// Not opened: what a proxy has said was malformed.
pub const RADDLE_METRIC_REFUSED_PROXY: u32 = 108;
/// Not opened: the program has refused it.
pub const RADDLE_METRIC_REFUSED_APPLICATION: u32 = 109;
/// Not opened: the identity had all the connections it may have.
pub const RADDLE_METRIC_REFUSED_IDENTITY: u32 = 110;
/// Not opened: no thread could be started.
pub const RADDLE_METRIC_REFUSED_NO_THREAD: u32 = 111;
/// Not opened: the file descriptors had run out.
pub const RADDLE_METRIC_REFUSED_NO_DESCRIPTOR: u32 = 112;
/// Not opened: the server was being stopped.
pub const RADDLE_METRIC_REFUSED_STOPPING: u32 = 113;
/// RADDLE_METRIC_ENDED_BY plus RADDLE_CAUSE_…: open connections that have ended for this cause.
pub const RADDLE_METRIC_ENDED_BY: u32 = 200;

/// Gives one of the numbers that a server has counted since it was started, or stands at.
///
/// - `server`: the server
/// - `metric`: RADDLE_METRIC_…
/// - `value`: a place for the number
///
/// Returns RADDLE_OK, or RADDLE_ERR_ARGUMENT for another number. It looks at every connection. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_metric(server: *const Server, metric: u32, value: *mut u64) -> Status {
    guard(|| {
        let place = arguments::out(value, "value")?;
        with(server, |serving| {
            let number = number(&serving.server.metrics(), metric);
            place.put(number.ok_or_else(|| Failure::argument(format!("metric: there is no constant {metric}")))?);
            Ok(())
        })
    })
}

fn number(metrics: &Metrics, metric: u32) -> Option<u64> {
    let refused = |reason| metrics.refused.get(&reason).copied().unwrap_or(0);
    Some(match metric {
        RADDLE_METRIC_ACCEPTED => metrics.accepted,
        RADDLE_METRIC_OPENED => metrics.opened,
        RADDLE_METRIC_ANSWERED => metrics.answered,
        RADDLE_METRIC_REFUSED => metrics.refused.values().sum(),
        RADDLE_METRIC_ENDED => metrics.ended.values().sum(),
        RADDLE_METRIC_RECEIVED_MESSAGES => metrics.traffic.received_messages,
        RADDLE_METRIC_RECEIVED_BYTES => metrics.traffic.received_bytes,
        RADDLE_METRIC_SENT_MESSAGES => metrics.traffic.sent_messages,
        RADDLE_METRIC_SENT_BYTES => metrics.traffic.sent_bytes,
        RADDLE_METRIC_DROPPED_PUBLICATIONS => metrics.dropped_publications,
        RADDLE_METRIC_CONNECTIONS => metrics.connections as u64,
        RADDLE_METRIC_QUEUED_BYTES => metrics.queued_bytes as u64,
        RADDLE_METRIC_BUFFERED_BYTES => metrics.buffered_bytes as u64,
        RADDLE_METRIC_REFUSED_SERVER_FULL => refused(Refusal::ServerFull),
        RADDLE_METRIC_REFUSED_ADDRESS_FULL => refused(Refusal::AddressFull),
        RADDLE_METRIC_REFUSED_ADDRESS_RATE => refused(Refusal::AddressRate),
        RADDLE_METRIC_REFUSED_SHED => refused(Refusal::Shed),
        RADDLE_METRIC_REFUSED_TIMEOUT => refused(Refusal::Timeout),
        RADDLE_METRIC_REFUSED_GONE => refused(Refusal::Gone),
        RADDLE_METRIC_REFUSED_TLS => refused(Refusal::Tls),
        RADDLE_METRIC_REFUSED_HANDSHAKE => {
            let of_handshake =
                |(reason, count): (&Refusal, &u64)| matches!(reason, Refusal::Handshake(_)).then_some(*count);
            metrics.refused.iter().filter_map(of_handshake).sum()
        }
        RADDLE_METRIC_REFUSED_PROXY => refused(Refusal::Proxy),
        RADDLE_METRIC_REFUSED_APPLICATION => refused(Refusal::Application),
        RADDLE_METRIC_REFUSED_IDENTITY => refused(Refusal::Identity),
        RADDLE_METRIC_REFUSED_NO_THREAD => refused(Refusal::NoThread),
        RADDLE_METRIC_REFUSED_NO_DESCRIPTOR => refused(Refusal::NoDescriptor),
        RADDLE_METRIC_REFUSED_STOPPING => refused(Refusal::Stopping),
        metric => {
            let cause = metric.checked_sub(RADDLE_METRIC_ENDED_BY)?;
            if !(RADDLE_CAUSE_PEER_CLOSE..=RADDLE_CAUSE_OVER_BUDGET).contains(&cause) {
                return None;
            }
            let of_cause = |(ended, count): (&Cause, &u64)| (number_of(*ended) == cause).then_some(*count);
            metrics.ended.iter().filter_map(of_cause).sum()
        }
    })
}
