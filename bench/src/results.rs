//! Writes tables and plots to `results/`, with what they were measured on.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::machine;
use crate::options::Options;
use crate::peers::{self, versions};
use crate::plot;
use crate::report::Table;

/// Writes `results/NAME.md` and `results/NAME.svg`.
pub fn save(table: &Table, options: &Options) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    fs::create_dir_all(&folder)?;
    let mut text = format!("{}\n![{}]({}.svg)\n", table.markdown(), table.title, table.name);
    let Options { rounds, seconds, .. } = options;
    writeln!(text, "\nMeasured on {}; {rounds} rounds of {seconds} s.", machine::describe())?;
    let version = |name: &str| match peers::ALL.iter().chain(&peers::SECURE).find(|peer| peer.name == name) {
        Some(peer) => versions::of(peer),
        None => versions::locked(name),
    };
    let names = table.rows.iter().map(|(name, _)| name);
    let versions: Vec<_> = names.filter_map(|name| Some(format!("{name} {}", version(name)?))).collect();
    if !versions.is_empty() {
        writeln!(text, "Versions: {}.", versions.join("; "))?;
    }
    let command = "cargo run --release --manifest-path bench/Cargo.toml --";
    writeln!(text, "\nTo repeat it: `{command} {} --rounds {rounds} --seconds {seconds} --save`.", table.name)?;
    fs::write(folder.join(table.name).with_extension("md"), text)?;
    fs::write(folder.join(table.name).with_extension("svg"), plot::bars(table))?;
    Ok(())
}
