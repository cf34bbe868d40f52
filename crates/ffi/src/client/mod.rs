//! Clients: how they are set up, how they connect, and connect again.

pub mod attempt;
pub mod config;
pub mod connect;
mod job;
pub mod reconnect;
pub mod request;
pub mod tls;

use raddle_client::ClientTls;

use crate::guard::{Depth, guard, trip};
use crate::handles::{self, Handle, Kind, Table};
use crate::status::{Failure, Status};

/// The settings of a client. See raddle_client_new.
pub struct Client {
    _opaque: (),
}

/// What a client's handle names.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) client: raddle_client::Client,
    /// The TLS that `client` has.
    pub(crate) tls: ClientTls,
}

impl Settings {
    /// Changes the client, which is a value that makes another.
    pub(crate) fn change(&mut self, change: impl FnOnce(raddle_client::Client) -> raddle_client::Client) {
        self.client = change(std::mem::take(&mut self.client));
    }
}

impl Handle for Client {
    type Value = Settings;

    fn table() -> &'static Table<Settings> {
        static TABLE: Table<Settings> = Table::new(Kind::Client);
        &TABLE
    }
}

/// Changes settings.
pub(crate) fn set(client: *mut Client, change: impl FnOnce(&mut Settings) -> Result<(), Failure>) -> Status {
    guard(|| {
        Client::table().use_alone(handles::to_id(client), |settings| {
            trip(Depth::Handle);
            change(settings)
        })
    })
}

/// A copy of the settings; of the defaults where there are none.
pub(crate) fn settings(client: *const Client) -> Result<raddle_client::Client, Failure> {
    if client.is_null() {
        return Ok(raddle_client::Client::new());
    }
    Ok(Client::table().find(handles::to_id(client), |settings| settings.client.clone())?)
}
