//! Servers as processes: started on a core of their own, measured from outside, ended with the measurement.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use crate::peers::{Kind, Peer};

/// A server that runs, and is ended when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a peer on the server's core, with further flags.
    pub fn start(peer: &Peer, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        raise_descriptor_limit();
        let mut command = match peer.kind {
            Kind::EchoServer(own) => {
                let mut command = Command::new(echo_server()?);
                command.args(["--listen", "127.0.0.1:0", "--ping-interval", "0"]).args(own).args(flags);
                command
            }
            Kind::Served => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", peer.name]);
                command
            }
        };
        // SAFETY: `pin` makes one system call and touches no memory but its own.
        unsafe { command.pre_exec(|| pin(SERVER_CORE)) };
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ws://").ok_or("the server has not started")?.parse()?;
        Ok(Self { child, address })
    }

    /// CPU time that the server has used, user and system.
    pub fn cpu(&self) -> Duration {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `clock` is a place for a clock's id.
        let found = unsafe { libc::clock_getcpuclockid(self.child.id() as libc::pid_t, &raw mut clock) };
        assert_eq!(found, 0, "the server runs");
        // SAFETY: `time` is a place for a time.
        let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
        assert_eq!(read, 0, "the server runs");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Memory that the server has written to and holds, in KiB.
    pub fn memory(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// Threads that the server has.
    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// Descriptors that the server has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.split_whitespace().next()?.parse().ok()).expect("the server runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that this process has used, user and system.
pub fn own_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for a time.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(read, 0, "every process has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Puts this process, which makes the load, on the other core.
pub fn pin_load() {
    pin(LOAD_CORE).expect("there are two cores");
}

/// Gives a listener the backlog that raddle's have.
pub fn widen_backlog(listener: &TcpListener) -> std::io::Result<()> {
    // SAFETY: the descriptor is the listener's, which is open.
    let result = unsafe { libc::listen(listener.as_raw_fd(), 1024) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Gives a client a small receive buffer.
pub fn narrow(stream: &TcpStream) -> std::io::Result<()> {
    let bytes: libc::c_int = 4096;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is the stream's, which is open, and the option is a number of this size.
    let result = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, (&raw const bytes).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Builds the example, once.
fn echo_server() -> Result<std::path::PathBuf, Box<dyn Error>> {
    static BUILD: Once = Once::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    BUILD.call_once(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--release", "--quiet", "--example", "echo_server"])
            .current_dir(&root)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "echo_server is built");
    });
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(target.join("release/examples/echo_server"))
}

fn pin(core: usize) -> std::io::Result<()> {
    // SAFETY: a set of cores is plain numbers, of which zero are all valid.
    let mut cores: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set has room for this core.
    unsafe { libc::CPU_SET(core, &mut cores) };
    // SAFETY: `cores` is a set of the size that is given.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cores) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Ten thousand connections need as many descriptors, here and in the servers.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for a limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a limit that the system has given.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
