//! What the process has of the system's resources.

use std::fs;

/// The threads of this process: their names, and the signals that they block.
pub(crate) fn threads() -> Vec<(String, u64)> {
    let tasks = fs::read_dir("/proc/self/task").expect("there are threads");
    let thread = |status: String| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some((field("Name:")?.to_owned(), u64::from_str_radix(field("SigBlk:")?, 16).ok()?))
    };
    // A thread may end while it is looked at.
    tasks
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok())
        .filter_map(thread)
        .collect()
}

/// The threads that the library has started.
pub(crate) fn library_threads() -> Vec<(String, u64)> {
    threads().into_iter().filter(|(name, _)| name.starts_with("raddle")).collect()
}

/// Tells whether no thread of the library is left but the attendant, which is there from the first connection on, for good.
/// By its name, which a thread has only once it runs.
pub(crate) fn is_the_attendant_alone() -> bool {
    matches!(&library_threads()[..], [(name, _)] if "raddle attendant".starts_with(name.as_str()))
}

/// Tells which signals of those that can be blocked are not.
pub(crate) fn not_blocked(mask: u64) -> Vec<u32> {
    // SIGKILL and SIGSTOP cannot be blocked, and the C library has two for itself.
    (1..=64).filter(|signal| !matches!(signal, 9 | 19 | 32 | 33) && mask & 1 << (signal - 1) == 0).collect()
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("there are descriptors").count()
}

/// The name by which this program runs the test of the module of this path, as `module_path!` gives it.
pub(crate) fn test_of(module: &str, test: &str) -> String {
    match module.split_once("::") {
        Some((_, inner)) => format!("{inner}::{test}"),
        None => test.to_owned(),
    }
}
