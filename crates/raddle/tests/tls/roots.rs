//! The system's roots: what could not be read is not missed for good.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use raddle::{Client, ClientTls, ConnectError, TlsError};

use crate::authority::Authority;

/// Where a process that was started for this test finds the system's roots.
const FILE: &str = "SSL_CERT_FILE";
const IS_STARTED: &str = "RADDLE_TEST_ROOTS";

#[test]
fn roots_that_could_not_be_read_are_looked_for_again() {
    // It is decided by the environment, and once for a process.
    if env::var_os(IS_STARTED).is_some() {
        return look_for_roots(env::var_os(FILE).expect("it is set").as_ref());
    }
    let path = env::temp_dir().join(format!("raddle-roots-{}.pem", std::process::id()));
    let mut itself = Command::new(env::current_exe().expect("it runs"));
    itself.args(["--exact", "roots::roots_that_could_not_be_read_are_looked_for_again", "--nocapture"]);
    let output = itself.env(IS_STARTED, "").env(FILE, &path).env_remove("SSL_CERT_DIR").output().expect("it starts");
    let _ = fs::remove_file(path);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn look_for_roots(path: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let kept = Client::new();
    let changed = Client::new().tls(ClientTls::new().server_name("a.example").expect("a name"));
    for client in [&kept, &changed] {
        let said = client.connect(&url).map(drop);
        // With a feature, others stand in for them.
        let has_others = matches!(said, Err(ConnectError::Connect(_)));
        assert!(has_others || matches!(said, Err(ConnectError::Tls(TlsError::NoRoots))), "{said:?}");
    }
    fs::write(path, Authority::new("ours").root()).expect("there is room");
    for client in [&kept, &changed, &Client::new()] {
        let said = client.connect(&url).map(drop);
        assert!(matches!(said, Err(ConnectError::Connect(_))), "{said:?}");
    }
}
