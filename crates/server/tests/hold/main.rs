//! A server holds what it has: whom it admits, who they are, where they come from, and how it lets them go.

mod admission;
mod counted;
mod handler_places;
mod handlers;
mod identity;
mod leaving;
mod listeners;
mod lobby;
mod metrics;
mod proxies;
mod support;
