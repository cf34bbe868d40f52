//! Gets what a server needs, once in a run: builds the examples, installs pinned packages under `target/peers`, compiles.
//! Says so; what cannot be had is told with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::launch::Missing;
use crate::secure;

/// The program of an example of this project.
pub fn example(name: &'static str) -> Result<PathBuf, Missing> {
    once(name, || {
        let root = Path::new(HERE).join("..");
        if !root.join("examples/rust").join(name).with_extension("rs").exists() {
            return Err(Missing { word: "not built", reason: format!("there is no example {name}") });
        }
        Ok(build(&["--example", name])?.join("examples").join(name))
    })
}

/// The program of an example in C, with the shared library.
pub fn c_example(source: &'static str) -> Result<PathBuf, Missing> {
    let built_library = libraddle()?;
    let library = once("libraddle.so.0", || {
        // By the name that programs load it by.
        let library = built("c")?.join("libraddle.so.0");
        fs::copy(built_library, &library)?;
        Ok(library)
    })?;
    once(source, || {
        let (root, folder) = (Path::new(HERE).join(".."), built("c")?);
        let program = folder.join(source).with_extension("");
        let source = root.join("examples/c").join(source);
        let mut rpath = std::ffi::OsString::from("-Wl,-rpath,");
        rpath.push(&folder);
        let mut compiler = Command::new("cc");
        compiler.arg("-O2").arg("-I").arg(root.join("include")).arg(source).arg(&library).arg(rpath);
        run(compiler.arg("-lpthread").arg("-o").arg(&program))?;
        Ok(program)
    })
}

/// The folder with a certificate that no other has signed, for `localhost`, and its key.
pub fn certificate() -> Result<PathBuf, Missing> {
    once("certificate", || {
        let folder = built("certificate")?;
        let failed = |error: rcgen::Error| Missing::because(error.to_string());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(failed)?;
        fs::write(folder.join(secure::KEY), made.signing_key.serialize_pem())?;
        fs::write(folder.join(secure::CHAIN), made.cert.pem())?;
        Ok(folder)
    })
}

/// The library that the Python package of this project calls.
pub fn libraddle() -> Result<PathBuf, Missing> {
    once("libraddle", || Ok(build(&["--package", "raddle-ffi"])?.join("libraddle.so")))
}

/// Builds something of this project, and gives the folder where it is.
fn build(what: &[&str]) -> Result<PathBuf, Missing> {
    let root = Path::new(HERE).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["build", "--release", "--quiet"]).args(what).current_dir(&root))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(target.join("release"))
}

/// The folder with `ws.js` and what it needs.
pub fn node() -> Result<PathBuf, Missing> {
    once("node", || {
        run(Command::new("node").arg("--version"))?;
        let (source, folder) = (sources("node"), built("node")?);
        fs::copy(source.join("ws.js"), folder.join("ws.js"))?;
        renewed(&source, &folder, "package-lock.json", || {
            fs::copy(source.join("package.json"), folder.join("package.json"))?;
            fs::copy(source.join("package-lock.json"), folder.join("package-lock.json"))?;
            say("Node's ws, with npm");
            run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder))
        })?;
        Ok(folder)
    })
}

/// The interpreter of an environment with the servers in Python.
pub fn python() -> Result<PathBuf, Missing> {
    once("python", || {
        let (source, folder) = (sources("python"), built("python")?);
        let interpreter = folder.join("bin/python");
        renewed(&source, &folder, "requirements.txt", || {
            say("websockets, picows and uvloop, with pip");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
            let requirements = source.join("requirements.txt");
            run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))
        })?;
        Ok(interpreter)
    })
}

/// The server over libwebsockets.
pub fn libwebsockets() -> Result<PathBuf, Missing> {
    once("libwebsockets", || {
        let program = built("c")?.join("libwebsockets");
        let mut flags = Command::new("pkg-config");
        flags.args(["--cflags", "--libs", "libwebsockets"]);
        let found = match flags.output() {
            Ok(output) if output.status.success() => output,
            _ => {
                say("libwebsockets-dev, with apt-get");
                run(Command::new("apt-get").args([
                    "install",
                    "--quiet=2",
                    "--yes",
                    "libwebsockets-dev",
                    "pkg-config",
                ]))?;
                flags.output()?
            }
        };
        let flags = String::from_utf8_lossy(&found.stdout).into_owned();
        let source = sources("c").join("libwebsockets.c");
        run(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).args(flags.split_whitespace()))?;
        Ok(program)
    })
}

/// The limit of a poll(2) loop.
pub fn raw_poll() -> Result<PathBuf, Missing> {
    once("raw_poll", || {
        let program = built("c")?.join("raw_poll");
        run(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(sources("c").join("raw_poll.c")))?;
        Ok(program)
    })
}

/// Does what is to be done once, and gives its outcome to all that ask.
fn once(name: &'static str, get: impl FnOnce() -> Result<PathBuf, Missing>) -> Result<PathBuf, Missing> {
    static DONE: Mutex<BTreeMap<&str, Result<PathBuf, Missing>>> = Mutex::new(BTreeMap::new());
    DONE.lock().expect("nobody panics").entry(name).or_insert_with(get).clone()
}

/// Installs, unless what `list` names is installed already.
fn renewed(
    source: &Path,
    folder: &Path,
    list: &str,
    install: impl FnOnce() -> Result<(), Missing>,
) -> Result<(), Missing> {
    let (wanted, stamp) = (fs::read(source.join(list))?, folder.join("installed"));
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    Ok(fs::write(stamp, wanted)?)
}

/// Runs a command; where it fails, the reason is the last line of what it says.
fn run(command: &mut Command) -> Result<(), Missing> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Missing::because(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    Err(Missing::because(format!("{program} has failed: {}", last.trim())))
}

fn sources(name: &str) -> PathBuf {
    Path::new(HERE).join("src/peers").join(name)
}

fn built(name: &str) -> Result<PathBuf, Missing> {
    let folder = Path::new(HERE).join("target/peers").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn say(what: &str) {
    eprintln!("bench: installing {what}");
}

const HERE: &str = env!("CARGO_MANIFEST_DIR");
