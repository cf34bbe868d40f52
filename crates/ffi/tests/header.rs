//! `include/raddle.h` is what cbindgen makes of the crate, word by word. `UPDATE_HEADER=1` writes it anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The manual's first chapter stands in front of what is generated.
const INTRODUCTION: &str = include_str!("../introduction.h");

#[test]
fn the_header_is_what_the_crate_exports() {
    let header = generate();
    let path = root().join("include/raddle.h");
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &header).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = header.lines().zip(committed.lines()).position(|(one, other)| one != other);
    assert!(
        header == committed,
        "include/raddle.h differs from the crate at line {}; UPDATE_HEADER=1 cargo test -p raddle-ffi --test header \
         writes it anew",
        differs.map_or(committed.lines().count().min(header.lines().count()), |line| line) + 1
    );
}

#[test]
fn the_version_stands_in_the_header_as_in_the_package() {
    let parts: Vec<u32> = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().expect("a number")).collect();
    let number = parts[0] * 1_000_000 + parts[1] * 1_000 + parts[2];
    let header = generate();
    assert!(header.contains(&format!("#define RADDLE_VERSION {number}\n")), "RADDLE_VERSION is {number}");
}

#[test]
fn each_function_says_what_it_is_given_what_it_returns_and_on_which_thread() {
    let header = generate();
    let functions = header.split_once("extern \"C\" {").expect("they stand behind that").1;
    let (mut count, mut lacking) = (0, Vec::new());
    for block in functions.split("\n\n") {
        let declaration = block.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ");
        let comment: String = block.lines().filter(|line| line.starts_with("//")).collect();
        let Some((name, parameters)) = declaration.split_once('(') else { continue };
        let name = name.rsplit([' ', '*']).next().expect("a name");
        count += 1;
        let parameters = parameters.trim_end_matches(");");
        let named = parameters.split(',').map(|parameter| parameter.rsplit([' ', '*']).next().expect("a name"));
        let unnamed =
            named.filter(|parameter| *parameter != "void").find(|name| !comment.contains(&format!("`{name}`")));
        let unsaid = ["Returns", "hread"].into_iter().find(|word| !comment.contains(word));
        lacking.extend(unnamed.or(unsaid).map(|what| format!("{name}: {what}")));
    }
    assert!(count > 200, "{count} functions were found");
    assert!(lacking.is_empty(), "{lacking:#?}");
}

fn generate() -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config =
        cbindgen::Config::from_file(manifest.join("cbindgen.toml")).expect("the configuration is in order");
    config.header = Some(INTRODUCTION.trim_end().to_owned());
    let bindings = cbindgen::Builder::new()
        .with_crate(manifest)
        .with_config(config)
        .generate()
        .expect("cbindgen understands the crate");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("the header is UTF-8")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
