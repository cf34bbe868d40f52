//! The versions of what is measured.

use std::process::Command;

use super::{Kind, Peer, provision};

/// The version of the peer as it is measured here; `None` for this program's own loops and what is not there.
pub fn of(peer: &Peer) -> Option<String> {
    match peer.kind {
        Kind::Served if peer.is_limit() => None,
        Kind::RawPoll => None,
        Kind::Example(_) | Kind::C(..) | Kind::Embedded(_) => locked("raddle-core"),
        Kind::PythonExample(..) => {
            let python = said(&provision::python().ok()?.to_string_lossy(), &["--version"])?;
            Some(format!("{} on {python}", locked("raddle-core")?))
        }
        Kind::Served => locked(peer.name.split(' ').next()?),
        Kind::Libwebsockets => {
            let version = said("pkg-config", &["--modversion", "libwebsockets"])?;
            provision::libwebsockets().is_ok().then(|| version.trim_end_matches('-').to_owned())
        }
        Kind::Node => {
            let ws = pinned(include_str!("node/package.json"), "\"ws\": \"")?;
            provision::node().ok()?;
            Some(format!("{ws} on Node {}", said("node", &["--version"])?))
        }
        Kind::Python(file) => {
            let package = file.split(['_', '.']).next()?;
            let version = pinned(include_str!("python/requirements.txt"), &format!("{package}=="))?;
            let python = said(&provision::python().ok()?.to_string_lossy(), &["--version"])?;
            let uvloop = pinned(include_str!("python/requirements.txt"), "uvloop==")?;
            let runs_on = if file == "websockets_sync.py" { String::new() } else { format!(", uvloop {uvloop}") };
            Some(format!("{version} on {python}{runs_on}"))
        }
    }
}

/// The version that a crate has in the lock file.
pub fn locked(name: &str) -> Option<String> {
    pinned(include_str!("../../Cargo.lock"), &format!("name = \"{name}\"\nversion = \""))
}

/// The first line of what a program says.
pub fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

/// What follows `before` in a list of versions.
fn pinned(list: &str, before: &str) -> Option<String> {
    let (_, version) = list.split_once(before)?;
    Some(version.split(['"', '\n']).next()?.to_owned())
}
