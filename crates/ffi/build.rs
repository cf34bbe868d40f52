//! Gives the shared library its SONAME, and keeps it in memory once it was loaded: its threads outlive any handle of it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libraddle.so.0,-z,nodelete");
}
