//! The connections of the process, by their ids, server's and client's alike; and which of them a thread is just serving.
//!
//! What a callback sends to its own connection, and what a polling thread sends to those of its last turn, needs no look-up
//! in the table: the thread has them at hand.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use raddle_client::Answer;
use raddle_core::handshake::Request as Head;
use raddle_core::{Close, CloseCode};
use raddle_socket::{Cause, End, Reader, Unanswered, Writer};

use crate::guard::{self, Depth};
use crate::handles::{Kind, Missing, Table};
use crate::status::{Failure, Status};
use crate::unfinished::Unfinished;
use crate::user::User;

/// A connection, as C programs use it.
pub(crate) struct Conn {
    pub(crate) writer: Writer,
    /// The server that it is of; 0: it is a client's.
    pub(crate) server: u64,
    /// The program receives by calls, and frees it. `None`: its messages go to callbacks or into a queue, and the library
    /// lets it go when it has ended.
    receiving: Option<Box<Mutex<Own>>>,
    user: Mutex<Option<User>>,
    /// Its id names nothing any more, be it at hand of a thread still.
    is_retired: AtomicBool,
    /// The program has paused reading. Whoever pauses it for another reason finds out by this when that has passed.
    pub(crate) is_paused: AtomicBool,
    /// How it has ended, once that was seen.
    end: OnceLock<Box<End>>,
    /// The request that has opened it, where the server keeps those.
    pub(crate) head: Option<Arc<Head>>,
    /// The response that has opened it, of a client's.
    pub(crate) answer: Option<Box<Answer>>,
    /// What the program has said that it answers later.
    pub(crate) unanswered: Mutex<Vec<Unanswered>>,
    /// The message that is sent fragment by fragment.
    pub(crate) unfinished: Unfinished,
}

/// What a program receives with, for one call.
pub(crate) struct Receiving<'a> {
    pub(crate) reader: &'a mut Reader,
    /// The reader's last message was not given: there was no place for it.
    pub(crate) is_kept: &'a mut bool,
}

/// The reader of a connection that the program receives from.
struct Own {
    reader: Reader,
    is_kept: bool,
}

/// A connection, and the id that names it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) conn: Arc<Conn>,
}

impl Conn {
    /// A connection that the program receives from by calls.
    pub(crate) fn owned(reader: Reader, writer: Writer, server: u64, head: Option<Arc<Head>>) -> Self {
        Self {
            receiving: Some(Box::new(Mutex::new(Own { reader, is_kept: false }))),
            ..Self::served(writer, server, head)
        }
    }

    /// A connection whose events the library brings.
    pub(crate) fn served(writer: Writer, server: u64, head: Option<Arc<Head>>) -> Self {
        Self {
            writer,
            server,
            receiving: None,
            user: Mutex::new(None),
            is_retired: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            end: OnceLock::new(),
            head,
            answer: None,
            unanswered: Mutex::default(),
            unfinished: Unfinished::default(),
        }
    }

    /// What the program receives with, for one thread at a time.
    fn receiving(&self) -> Result<MutexGuard<'_, Own>, Failure> {
        let receiving = self.receiving.as_ref().ok_or_else(|| {
            Failure::state("the messages of this connection go to callbacks, or into the queue of its server")
        })?;
        let receiving = receiving.try_lock();
        // Whoever frees it looks for a receiver behind that mark: it finds this one, or this one finds the mark.
        self.check()?;
        receiving.ok_or_else(|| Failure::new(Status::RADDLE_ERR_BUSY, "another thread receives on this connection"))
    }

    /// Sees that nobody has freed it meanwhile.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.is_retired.load(Ordering::SeqCst) { Err(missing(Missing::Gone)) } else { Ok(()) }
    }

    /// Has the peer read again, unless the program has paused it.
    pub(crate) fn go_on(&self) {
        if !self.is_paused.load(Ordering::SeqCst) {
            self.writer.resume_reading();
            // It may have done so just now.
            if self.is_paused.load(Ordering::SeqCst) {
                self.writer.pause_reading();
            }
        }
    }

    /// Ends it for all that still hold it: a thread that waits in a call, or a Ping whose Pong is waited for. Its id names
    /// nothing any more.
    fn let_go(&self) {
        let is_received_from = self.receiving.as_ref().is_some_and(|receiving| receiving.try_lock().is_none());
        // A message that is not finished closes it with 1011.
        if !is_received_from && self.unfinished.give_up() {
            // It fails where a Close was sent, or it has ended.
            let _ = self.writer.close_for(Close::code(CloseCode::GOING_AWAY), Cause::Dropped);
        } else {
            // A thread that waits there finds the end.
            self.writer.cut(Cause::Dropped);
        }
    }

    /// Tells whether the program has to free it.
    pub(crate) fn is_owned(&self) -> bool {
        self.receiving.is_some()
    }

    /// Keeps how it has ended.
    pub(crate) fn note_end(&self, end: &End) {
        self.end.get_or_init(|| Box::new(end.clone()));
    }

    /// How it has ended; `None`: that was not seen.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.get().map(|end| &**end)
    }

    /// Puts another pointer in the place of the program's, and gives the one that was there.
    pub(crate) fn replace_user(&self, user: Option<User>) -> Option<User> {
        std::mem::replace(&mut *self.user.lock(), user)
    }

    /// The program's pointer; NULL where there is none.
    pub(crate) fn user(&self) -> *mut std::ffi::c_void {
        self.user.lock().as_ref().map_or(ptr::null_mut(), User::data)
    }
}

/// Enters a connection in the table.
pub(crate) fn insert(conn: Conn) -> Result<Entry, Failure> {
    let conn = Arc::new(conn);
    let id = TABLE.insert(Arc::clone(&conn))?;
    Ok(Entry { id, conn })
}

/// Does something with a connection.
pub(crate) fn with<R>(id: u64, act: impl FnOnce(&Conn) -> Result<R, Failure>) -> Result<R, Failure> {
    let mut act = Some(act);
    let mut take = || act.take().expect("nobody has taken it before");
    // `Err`: the thread is about to end.
    let near = HERE.try_with(|here| {
        let current = here.current.get();
        if current.id == id && id != 0 {
            // SAFETY: `Entered` borrows the connection for as long as it is the current one of this thread.
            let conn = unsafe { &*current.conn };
            return Some(guarded(id, conn, take()));
        }
        if here.has_turn.get() {
            let turn = here.turn.try_borrow().ok()?;
            let conn = turn.find(id).filter(|conn| !conn.is_retired.load(Ordering::Relaxed))?;
            return Some(guarded(id, conn, take()));
        }
        None
    });
    if let Ok(Some(result)) = near {
        return result;
    }
    let conn = TABLE.get(id).map_err(missing)?;
    guarded(id, &conn, take())
}

/// A connection, for whoever keeps it.
pub(crate) fn get(id: u64) -> Result<Entry, Failure> {
    Ok(Entry { id, conn: TABLE.get(id).map_err(missing)? })
}

/// Receives on a connection: on one of the program's, or on one whose reader this thread [was lent](lend).
pub(crate) fn receive<R>(
    id: u64,
    act: impl FnOnce(&Conn, &mut Receiving<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    with(id, |of| {
        if of.is_owned() {
            let Own { reader, is_kept } = &mut *of.receiving()?;
            return act(of, &mut Receiving { reader, is_kept });
        }
        let mut act = Some(act);
        let received = HERE.try_with(|here| {
            let mut lent = here.lent.try_borrow_mut().ok()?;
            let AtHand { reader, is_kept, .. } = lent.as_mut().filter(|lent| lent.id == id)?;
            // SAFETY: `Lent` has it borrowed, and takes it away before it gives it back; whoever is here has what the thread has
            // at hand borrowed.
            let reader = unsafe { reader.as_mut() };
            Some(act.take()?(of, &mut Receiving { reader, is_kept }))
        });
        // With a status that says why not.
        received.ok().flatten().unwrap_or_else(|| of.receiving().and(Err(Failure::state("nothing is received here"))))
    })
}

/// Has this thread receive on a connection of callbacks or of a queue, with the reader that it has for a while, until the result is
/// dropped.
pub(crate) fn lend(id: u64, reader: &mut Reader) -> Lent<'_> {
    let at_hand = AtHand { id, reader: NonNull::from(reader), is_kept: false };
    HERE.with(|here| *here.lent.borrow_mut() = Some(at_hand));
    Lent { of: PhantomData }
}

/// This thread has a reader.
pub(crate) struct Lent<'a> {
    of: PhantomData<&'a mut Reader>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        HERE.with(|here| *here.lent.borrow_mut() = None);
    }
}

/// Takes a connection out of the table: its id names nothing any more, and the program's pointer is destroyed.
pub(crate) fn retire(id: u64) -> Result<Arc<Conn>, Failure> {
    let conn = TABLE.take(id).map_err(missing)?;
    conn.is_retired.store(true, Ordering::SeqCst);
    drop(conn.replace_user(None));
    Ok(conn)
}

/// Frees a connection of the program's. `Err`: it is the library's, or there is none.
pub(crate) fn free(id: u64) -> Result<(), Failure> {
    let is_owned = TABLE.find(id, |conn| conn.is_owned());
    if is_owned
        .or_else(|missing| if missing == Missing::Poisoned { Ok(true) } else { Err(missing) })
        .map_err(missing)?
    {
        retire(id)?.let_go();
        return Ok(());
    }
    Err(Failure::state("the connection is its server's, which lets it go when it has ended: close it"))
}

/// The ids of the connections that are wanted.
pub(crate) fn list(wanted: impl Fn(&Conn) -> bool) -> Vec<u64> {
    TABLE.list(|conn| wanted(conn))
}

/// The number of connections in the table.
pub(crate) fn count() -> usize {
    TABLE.len()
}

/// Says that this thread serves a connection, until the result is dropped.
pub(crate) fn enter(entry: &Entry) -> Entered<'_> {
    let before = HERE.with(|here| here.current.replace(Current { id: entry.id, conn: Arc::as_ptr(&entry.conn) }));
    Entered { before, of: PhantomData }
}

/// A connection is the current one of this thread.
pub(crate) struct Entered<'a> {
    before: Current,
    of: PhantomData<&'a Entry>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        HERE.with(|here| here.current.set(self.before));
    }
}

/// Says which connections the events of this thread's turn are of, in their order. `Err`: it is amid using the last turn.
pub(crate) fn set_turn(entries: impl FnOnce(&mut Vec<Entry>)) -> Result<(), Failure> {
    let is_late = |_| Failure::state("a poll of a thread that ends");
    HERE.try_with(|here| {
        let mut turn = here.turn.try_borrow_mut().map_err(|_| Failure::state("a poll within a call"))?;
        turn.next.set(0);
        turn.entries.clear();
        entries(&mut turn.entries);
        here.has_turn.set(!turn.entries.is_empty());
        Ok(())
    })
    .map_err(is_late)?
}

/// Lets the connections of this thread's turn go, unless it is amid finding them.
pub(crate) fn clear_turn() {
    let entries = HERE.try_with(|here| {
        let mut turn = here.turn.try_borrow_mut().ok()?;
        here.has_turn.set(false);
        Some(mem::take(&mut turn.entries))
    });
    drop(entries);
}

fn guarded<R>(id: u64, conn: &Conn, act: impl FnOnce(&Conn) -> Result<R, Failure>) -> Result<R, Failure> {
    let poison = Poison(id);
    guard::trip(Depth::Handle);
    let result = act(conn);
    mem::forget(poison);
    result
}

fn missing(missing: Missing) -> Failure {
    match missing {
        Missing::Gone => Failure::new(Status::RADDLE_ERR_CLOSED, "the connection has ended"),
        Missing::Never => Failure::new(Status::RADDLE_ERR_HANDLE, "there was never such a connection"),
        missing => missing.into(),
    }
}

/// Poisons a connection, unless it is forgotten: a panic drops it.
struct Poison(u64);

impl Drop for Poison {
    fn drop(&mut self) {
        TABLE.poison(self.0);
        // From now on it is looked up, and found to be poisoned.
        let _ = HERE.try_with(|here| {
            here.current.set(Current::NOBODY);
            here.has_turn.set(false);
        });
    }
}

/// Which connection a thread serves.
#[derive(Clone, Copy)]
struct Current {
    id: u64,
    conn: *const Conn,
}

impl Current {
    const NOBODY: Self = Self { id: 0, conn: ptr::null() };
}

/// The connections of a turn.
struct Turn {
    entries: Vec<Entry>,
    /// Where the program is.
    next: Cell<usize>,
}

impl Turn {
    /// A connection of the turn. Programs go through their events in order: it is the one that was asked for last, or the
    /// next.
    fn find(&self, id: u64) -> Option<&Conn> {
        let next = self.next.get();
        let entry = self.entries.get(next)?;
        if entry.id == id {
            return Some(&entry.conn);
        }
        let entry = self.entries.get(next + 1).filter(|entry| entry.id == id)?;
        self.next.set(next + 1);
        Some(&entry.conn)
    }
}

/// What a thread has at hand.
struct Here {
    current: Cell<Current>,
    has_turn: Cell<bool>,
    turn: RefCell<Turn>,
    /// The reader of a connection that has this thread to itself.
    lent: RefCell<Option<AtHand>>,
}

/// The reader of a connection that has this thread to itself.
struct AtHand {
    id: u64,
    reader: NonNull<Reader>,
    is_kept: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("state", &self.writer.state()).finish_non_exhaustive()
    }
}

thread_local! {
    static HERE: Here = const {
        Here {
            current: Cell::new(Current::NOBODY),
            has_turn: Cell::new(false),
            turn: RefCell::new(Turn { entries: Vec::new(), next: Cell::new(0) }),
            lent: RefCell::new(None),
        }
    };
}

static TABLE: Table<Arc<Conn>> = Table::new(Kind::Connection);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use raddle_core::Role;
    use raddle_socket::{Connection, Options, Socket};

    use super::*;

    #[test]
    fn a_receiver_that_comes_or_gets_a_message_as_the_connection_is_freed_finds_that() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let socket = Socket::unix(ours).expect("it can be set up");
        let (reader, writer) = Connection::new(socket, Role::Client, &[], Options::default()).expect("open").split();
        let Entry { id, conn } = insert(Conn::owned(reader, writer, 0, None)).expect("there is space");
        theirs.write_all(b"\x82\x01a\x82\x01b").expect("they fit");
        let mut receiving = conn.receiving().expect("nobody receives");
        let Own { reader, is_kept } = &mut *receiving;
        let mut own = Receiving { reader, is_kept };
        own.next(&conn, 10_000).expect("the first message is there");
        retire(id).expect("it is there");
        let closed = |result: Result<(), Failure>| result.expect_err("it was freed").status;
        assert_eq!(closed(own.next(&conn, 10_000).map(drop)), Status::RADDLE_ERR_CLOSED);
        assert_eq!(closed(conn.receiving().map(drop)), Status::RADDLE_ERR_CLOSED);
        drop(receiving);
        assert_eq!(closed(conn.receiving().map(drop)), Status::RADDLE_ERR_CLOSED);
    }
}
