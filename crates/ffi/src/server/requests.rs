//! Requests as they are on their way to a decision: what the program has said of them so far, and how it gets them.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::thread;

use raddle_server::{Acceptance, DecisionError, Request, Response};

use crate::handles::{Handle, Kind, Table, to_pointer};
use crate::server::config::{ServerConfig, set};
use crate::server::{Core, Expected};
use crate::status::{Failure, Status};
use crate::user::{Destroy, User};

/// A client's request, to be decided on. See raddle_server_config_on_request.
pub struct RequestHandle {
    _opaque: (),
}

/// Decides on a request, with raddle_request_accept, raddle_request_refuse or raddle_request_respond.
///
/// One that was neither decided on nor kept with raddle_request_keep when the function returns is answered with 500.
pub type RequestCallback = Option<unsafe extern "C-unwind" fn(request: *mut RequestHandle, user: *mut c_void)>;

/// Sets what decides on each request, plain HTTP requests among them. Default: WebSockets are accepted with the first
/// subprotocol that both sides support, all else is answered with 426.
///
/// - `config`: the settings
/// - `on_request`: the function; NULL for the default
/// - `user`, `destroy`: as with raddle_server_config_callbacks
///
/// It is called on the thread that serves the connection afterwards: in engine threads it may wait, until the handshake
/// timeout; in engines pool and fed queue it must not, as others are served there too; in engine accept it is called within
/// raddle_server_accept, in engine queue within raddle_server_poll. Where raddle_server_config_requests_as_events has its
/// way, it is not called.
///
/// Returns RADDLE_OK. With any other status the library has no use for `user`. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn raddle_server_config_on_request(
    config: *mut ServerConfig,
    on_request: RequestCallback,
    user: *mut c_void,
    destroy: Destroy,
) -> Status {
    let mut before = None;
    let status = set(config, |config| {
        let user = Arc::new(User::new(user, destroy));
        let hook = on_request.map(|decide| Hook { decide, user: Arc::clone(&user) });
        before = Some((std::mem::replace(&mut config.hook, hook), user));
        Ok(())
    });
    // Without the lock of the settings: the program's destructor may use them.
    drop(before);
    status
}

/// What a program has set up to decide.
#[derive(Clone)]
pub(crate) struct Hook {
    decide: unsafe extern "C-unwind" fn(*mut RequestHandle, *mut c_void),
    user: Arc<User>,
}

/// A request, and what was said of it.
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) core: Arc<Core>,
    /// `Some(None)`: no subprotocol.
    pub(crate) subprotocol: Option<Option<String>>,
    pub(crate) identity: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) user: Option<User>,
    /// The program decides later.
    pub(crate) is_kept: bool,
}

impl Hook {
    /// Has the program decide on a request.
    pub(crate) fn decide(&self, request: Request, core: &Arc<Core>) {
        let Ok(id) = RequestHandle::table().insert(Pending::new(request, core)) else { return };
        // SAFETY: the program has given the function for this pointer, which is not destroyed before `self` is dropped.
        unsafe { (self.decide)(to_pointer(id), self.user.data()) };
        loop {
            match RequestHandle::table().use_alone(id, |pending| Ok(pending.is_kept)) {
                // Another thread is amid a call for it, and done in a moment.
                Err(failure) if failure.status == Status::RADDLE_ERR_BUSY => thread::yield_now(),
                Ok(true) => return,
                // What is dropped undecided is answered: so is one that a panic has left in pieces.
                Ok(false) | Err(_) => return drop(RequestHandle::table().take(id)),
            }
        }
    }
}

impl Pending {
    pub(crate) fn new(request: Request, core: &Arc<Core>) -> Self {
        Self {
            request,
            core: Arc::clone(core),
            subprotocol: None,
            identity: None,
            headers: Vec::new(),
            user: None,
            is_kept: false,
        }
    }

    /// Accepts the request as was said.
    pub(crate) fn accept(self) -> Result<(), Failure> {
        self.accept_by(|request, acceptance| request.accept_with(acceptance))
    }

    /// Accepts the request as was said, and gives the id of its connection.
    pub(crate) fn open(self) -> Result<u64, Failure> {
        let core = Arc::clone(&self.core);
        let Some(connection) = self.accept_by(|request, acceptance| request.open_with(acceptance))? else {
            return Err(Failure::new(Status::RADDLE_ERR_IO, "the connection could not be opened"));
        };
        core.enter_owned(connection)
    }

    fn accept_by<T>(self, accept: impl FnOnce(Request, Acceptance) -> Result<T, DecisionError>) -> Result<T, Failure> {
        let Self { mut request, core, subprotocol, identity, headers, user, .. } = self;
        let mut acceptance = Acceptance::new();
        acceptance = match subprotocol {
            None => acceptance,
            Some(None) => acceptance.no_subprotocol(),
            Some(Some(name)) => acceptance.subprotocol(name),
        };
        if let Some(identity) = identity {
            acceptance = acceptance.identity(identity);
        }
        for (name, value) in headers {
            acceptance = acceptance.header(name, value);
        }
        let head = core.keeps_heads.then(|| Arc::new(request.head().clone()));
        if head.is_some() || user.is_some() {
            request.attach(Expected { head, user });
        }
        Ok(accept(request, acceptance)?)
    }

    /// Answers the request.
    pub(crate) fn respond(self, mut response: Response) -> Result<(), Failure> {
        for (name, value) in &self.headers {
            response =
                response.header(name, value).map_err(|error| Failure::of(Status::RADDLE_ERR_ARGUMENT, &error))?;
        }
        self.request.respond(response).map_err(Failure::from)
    }
}

impl From<DecisionError> for Failure {
    fn from(error: DecisionError) -> Self {
        let status = match error {
            DecisionError::TooLate => Status::RADDLE_ERR_TIMEOUT,
            DecisionError::IdentityTaken => Status::RADDLE_ERR_LIMIT,
            DecisionError::Handshake(_) => Status::RADDLE_ERR_HANDSHAKE,
            _ => Status::RADDLE_ERR_ARGUMENT,
        };
        Self::of(status, &error)
    }
}

impl Handle for RequestHandle {
    type Value = Pending;

    fn table() -> &'static Table<Pending> {
        static TABLE: Table<Pending> = Table::new(Kind::Request);
        &TABLE
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("request", &self.request).finish_non_exhaustive()
    }
}
