//! The hostile inputs of docs/hostile-inputs.md, as far as they concern the protocol without I/O, the server with each
//! of its engines and the client: one table of inputs with their verdicts, run in every mode and however they are cut, and
//! beside it what is more than an input.

mod alone;
mod case;
mod head;
mod host;
mod peer;
mod relay;
mod rows;
mod run;
mod scenes;
mod wire;

use case::{Case, Modes};
use host::{Engine, Host};
use raddle::Role;
use relay::Certificate;
use run::client::Over;
use run::{Report, calls, client, frames, heads, in_parallel, responses, server};

#[test]
fn every_line_holds_without_io_however_it_is_cut() {
    // Hostile inputs 39 and 132.
    let report = Report::default();
    in_parallel(2, &lines(Modes::CORE), |_, case| {
        heads::run(case, &report);
        frames::run(case, Role::Server, &report);
        calls::run_core(case, &report);
    });
    in_parallel(2, &lines(Modes::CLIENT_CORE), |_, case| {
        frames::run(case, Role::Client, &report);
        responses::run(case, &report);
    });
    report.finish();
}

#[test]
fn every_line_holds_with_a_thread_per_connection() {
    // Hostile inputs 179 and 281.
    alone::run("every_line_holds_with_a_thread_per_connection", || serve_every_line(Engine::Threads));
}

#[test]
fn every_line_holds_with_a_pool_of_threads() {
    // Hostile inputs 179, 281 and 376: the same events as with threads, and over TLS.
    alone::run("every_line_holds_with_a_pool_of_threads", || serve_every_line(Engine::Pool));
}

#[test]
fn every_line_holds_with_an_event_loop() {
    // Hostile inputs 179, 281 and 376.
    alone::run("every_line_holds_with_an_event_loop", || serve_every_line(Engine::Loop));
}

/// What a process has open can be counted where nothing else runs in it.
fn serve_every_line(engine: Engine) {
    let before = alone::Held::by_the_library();
    let report = Report::default();
    let cases = lines(Modes::SERVER);
    let (hosts, caller) = (server::Hosts::of(&cases, |setup| Host::of(engine, setup)), calls::host(engine, &cases));
    // Most of the time a line waits, between segments and for the server.
    in_parallel(16, &cases, |index, case| {
        server::run(case, &hosts, &report);
        calls::run_server(index, case, &caller, &report);
    });
    hosts.finish(&report);
    report.check(|| "the server of calls".into(), || caller.finish());
    report.check(|| "what is left".into(), || before.assert_the_same());
    report.finish();
}

#[test]
fn every_line_holds_over_tls_with_a_thread_per_connection() {
    // Hostile input 350.
    alone::run("every_line_holds_over_tls_with_a_thread_per_connection", || serve_every_line_over_tls(Engine::Threads));
}

#[test]
fn every_line_holds_over_tls_with_a_pool_of_threads() {
    // Hostile input 350.
    alone::run("every_line_holds_over_tls_with_a_pool_of_threads", || serve_every_line_over_tls(Engine::Pool));
}

fn serve_every_line_over_tls(engine: Engine) {
    let before = alone::Held::by_the_library();
    let report = Report::default();
    let mut cases = lines(Modes::SERVER);
    // Where a proxy is trusted, as the relay is, who begins as one within TLS poses as one, and is not answered.
    cases.retain(|case| !matches!(case.number, 8 | 19));
    let hosts = server::Hosts::of(&cases, |setup| Host::of_tls(engine, setup));
    in_parallel(16, &cases, |_, case| server::run(case, &hosts, &report));
    hosts.finish(&report);
    report.check(|| "what is left".into(), || before.assert_the_same());
    report.finish();
}

#[test]
fn every_line_holds_for_a_client() {
    // Hostile input 101.
    alone::run("every_line_holds_for_a_client", || call_with_every_line(Over::Tcp));
}

#[test]
fn every_line_holds_over_tls_for_a_client() {
    // Hostile input 350.
    alone::run("every_line_holds_over_tls_for_a_client", || call_with_every_line(Over::Tls(&Certificate::new())));
}

fn call_with_every_line(over: Over<'_>) {
    let before = alone::Held::by_the_library();
    let report = Report::default();
    in_parallel(8, &lines(Modes::CLIENT), |_, case| client::run(case, over, &report));
    report.check(|| "what is left".into(), || before.assert_the_same());
    report.finish();
}

fn lines(mode: Modes) -> Vec<Case> {
    rows::all().into_iter().filter(|case| case.modes.contains(mode)).collect()
}
