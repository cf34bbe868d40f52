//! Servers: how they are set up, started, asked and ended, and how their events come to the program.

pub mod accept;
pub mod apart;
pub mod callbacks;
pub mod config;
pub mod configured;
pub mod fed;
pub(crate) mod lent;
pub mod lifecycle;
pub mod listeners;
pub mod metrics;
pub mod poll;
pub mod queue;
pub mod request;
pub mod requests;
pub(crate) mod source;
pub mod tls;
pub mod topics;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use raddle_core::handshake::Request as Head;
use raddle_server::{Waker, Writer};

use crate::connections::{self, Conn, Entry};
use crate::guard::{self, Depth};
use crate::handles::{Handle, Kind, Table, to_id};
use crate::server::source::Source as _;
use crate::status::Failure;
use crate::user::User;

/// A server. See raddle_server_new.
pub struct Server {
    _opaque: (),
}

/// What a server's handle names.
pub(crate) struct Serving {
    pub(crate) server: raddle_server::Server,
    pub(crate) core: Arc<Core>,
    pub(crate) engine: config::Engine,
    /// What is called once it is started; `None`: it was.
    pub(crate) callbacks: Mutex<Option<callbacks::Callbacks>>,
    /// What the threads of engine queue-workers leave their events in.
    pub(crate) feed: Option<Arc<fed::Feed>>,
    /// Set when it is started.
    pub(crate) way: OnceLock<Way>,
    /// It was told to stop.
    pub(crate) is_stopped: AtomicBool,
    /// Its handle names nothing any more.
    pub(crate) is_freed: AtomicBool,
}

/// How the events of a server come to the program.
pub(crate) enum Way {
    Callbacks,
    Queue { queue: Box<Mutex<queue::Queue>>, waker: Waker },
    Fed { taker: Box<Mutex<fed::Taker>>, feed: Arc<fed::Feed> },
    Accept,
}

/// What a server shares with whoever brings its events. Without the server itself, which owns those.
pub(crate) struct Core {
    /// Tells the connections of one server from those of another.
    pub(crate) number: u64,
    pub(crate) keeps_heads: bool,
}

/// What goes with a request that is accepted, for its connection.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) user: Option<User>,
}

impl Core {
    pub(crate) fn new(keeps_heads: bool) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, keeps_heads })
    }

    /// Enters a connection that was opened in the table.
    pub(crate) fn enter(
        &self,
        writer: &Writer,
        make: impl FnOnce(Option<Arc<Head>>) -> Conn,
    ) -> Result<Entry, Failure> {
        let expected = writer.take_attachment().and_then(|attachment| attachment.downcast::<Expected>().ok());
        let Expected { head, user } = expected.map_or_else(Expected::default, |expected| *expected);
        let entry = connections::insert(make(head))?;
        if user.is_some() {
            drop(entry.conn.replace_user(user));
        }
        Ok(entry)
    }

    /// Enters a connection that the program receives from and frees, and gives its id.
    pub(crate) fn enter_owned(&self, connection: raddle_server::Connection) -> Result<u64, Failure> {
        let (reader, writer) = connection.split();
        let of = writer.clone();
        Ok(self.enter(&of, |head| Conn::owned(reader, writer, self.number, head))?.id)
    }

    /// Enters a connection whose events the library brings.
    pub(crate) fn serve(&self, writer: &Writer) -> Result<Entry, Failure> {
        self.enter(writer, |head| Conn::served(writer.clone(), self.number, head))
    }
}

impl Serving {
    /// How its events come to the program, once it was started.
    pub(crate) fn way(&self) -> Result<&Way, Failure> {
        self.way.get().ok_or_else(|| Failure::state("the server was not started"))
    }

    /// Notes that it was told to stop.
    pub(crate) fn note_stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Ends what the queue of a server that was freed has, but for what it has lent. To be called by whoever frees it, and by
    /// whoever has had the queue meanwhile.
    pub(crate) fn settle(&self) {
        if !self.is_freed.load(Ordering::SeqCst) {
            return;
        }
        // Where another thread has it, that comes here afterwards.
        let remains = match self.way.get() {
            Some(Way::Queue { queue, .. }) => queue.try_lock().map(|mut queue| queue.end()),
            Some(Way::Fed { taker, .. }) => taker.try_lock().map(|mut taker| taker.end()),
            Some(Way::Callbacks | Way::Accept) | None => None,
        };
        remains.unwrap_or_default().let_go();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Nobody is left who could wait for it. Whoever serves for it ends by itself.
        self.server.stop(std::time::Duration::ZERO);
    }
}

impl Handle for Server {
    type Value = Arc<Serving>;

    fn table() -> &'static Table<Arc<Serving>> {
        static TABLE: Table<Arc<Serving>> = Table::new(Kind::Server);
        &TABLE
    }
}

/// Does something with a server.
pub(crate) fn with<R>(
    server: *const Server,
    act: impl FnOnce(&Arc<Serving>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    Server::table().with(to_id(server), |serving| {
        guard::trip(Depth::Handle);
        act(serving)
    })
}
