//! Servers as processes: started on a core of their own, measured from outside, ended with the measurement.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::peers::{Kind, Peer, Task, launch};

/// A server that runs, and is ended when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server that echoes on the server's core, with further flags where it takes any: an example of this project,
    /// or the server over libwebsockets.
    pub fn start(peer: &Peer, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        Self::start_for(Task::Echo, peer, flags)
    }

    /// The same for another task. Fails with [`Missing`](crate::peers::launch::Missing) where the server cannot be had.
    pub fn start_for(task: Task, peer: &Peer, flags: &[&str]) -> Result<Self, Box<dyn Error>> {
        raise_descriptor_limit();
        let mut command = launch::command(peer, task)?;
        if matches!(peer.kind, Kind::Example(_) | Kind::Libwebsockets) {
            command.args(flags);
        }
        Self::launch(&mut command)
    }

    /// Starts a program that says where it listens, on the server's core.
    pub fn launch(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        // SAFETY: `pin` makes one system call and touches no memory but its own.
        unsafe { command.pre_exec(|| pin(SERVER_CORE)) };
        let child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let mut server = Self { child, address: SocketAddr::from(([0; 4], 0)) };
        let output = server.child.stdout.take().ok_or("no output")?;
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        if rustix::event::poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&patience))? == 0 {
            return Err("the server has not started".into());
        }
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let (_, address) = line.trim().split_once("://").ok_or("the server has not started")?;
        server.address = address.parse()?;
        Ok(server)
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

fn pin(core: usize) -> std::io::Result<()> {
    // SAFETY: a set of cores is plain numbers, of which zero are all valid.
    let mut cores: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set has room for this core.
    unsafe { libc::CPU_SET(core, &mut cores) };
    // SAFETY: `cores` is a set of the size that is given.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cores) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Lets this process and the servers have as many descriptors as the system allows, and tells how many that are.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for a limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max.max(DESCRIPTORS), rlim_max: limit.rlim_max.max(DESCRIPTORS) };
    // Only a privileged process may raise the hard limit.
    for attempt in [wanted, libc::rlimit { rlim_cur: limit.rlim_max, ..limit }] {
        // SAFETY: `attempt` is a limit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const attempt) } == 0 {
            return attempt.rlim_cur;
        }
    }
    limit.rlim_cur
}

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
const DESCRIPTORS: u64 = 65536;
