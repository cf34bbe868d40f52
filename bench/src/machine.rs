//! The machine, in words that say nothing of whose it is.

use std::fs;

use crate::peers::versions::said;

/// Processor, kernel and compiler.
pub fn describe() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let values = |name: &str| {
        let lines = processors.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        lines.iter().filter_map(|line| Some(line.split_once(':')?.1.trim().to_owned())).collect::<Vec<_>>()
    };
    let models = values("model name");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Without what a builder has added.
    let kernel: String = kernel.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let rustc = said("rustc", &["--version"]).unwrap_or_default();
    let rustc = rustc.split(' ').nth(1).unwrap_or("of unknown version");
    format!(
        "{} cores of {}, Linux {kernel}, rustc {rustc}",
        values("processor").len(),
        models.first().map_or("unknown make", String::as_str),
    )
}
