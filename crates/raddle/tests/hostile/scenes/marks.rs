//! The marks of the tests: sources in, which test covers which case out.
//!
//! A test of whichever crate is marked by a comment of its own that begins with `Hostile input 237` or
//! `Hostile inputs 153, 155 and 226 to 228`. A test that is removed takes its marks with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The numbers of the cases that a test of some crate is marked with.
pub(crate) fn all() -> BTreeSet<u16> {
    let files = sources(&["src", "tests"]);
    assert!(files.iter().any(|file| file.ends_with("server/tests/stopping.rs")), "{files:?}");
    files.iter().flat_map(|file| of(&read(file), file)).collect()
}

/// The numbers of the cases that the programs in C are marked with, each of which is run.
pub(crate) fn in_c() -> BTreeSet<u16> {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ffi/tests/c");
    entries(&programs).iter().flat_map(|file| of_c(&read(file), file)).collect()
}

/// The numbers that a program is marked with: at its top, or right above what belongs to a function that is called.
fn of_c(source: &str, file: &Path) -> BTreeSet<u16> {
    let lines: Vec<&str> = source.lines().collect();
    let mut numbers = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(mark) = line.trim_start_matches(['/', '*', ' ']).strip_prefix("Hostile input") else { continue };
        let is_program = file.extension().is_some_and(|extension| extension == "c" || extension == "cpp");
        if is_program && index > 0 {
            let is_last = |line: &&&str| line.starts_with("//") || line.trim_end().ends_with("*/");
            let behind = index + 1 + lines[index..].iter().position(|line| is_last(&line)).expect("a comment's end");
            let is_function = |line: &&&str| line.starts_with(char::is_alphabetic) && line.ends_with(") {");
            let function = lines[behind..].iter().find(is_function).and_then(|line| line.split('(').next());
            let name = function.and_then(|line| line.rsplit([' ', '*']).next());
            let is_called = name.is_some_and(|name| source.matches(name).count() > 1);
            let stands_alone = lines.get(behind).is_none_or(|line| line.is_empty());
            assert!(is_called && !stands_alone, "{}: the mark of no function: {line}", file.display());
        }
        numbers.extend(parse(mark));
    }
    numbers
}

/// The sources in these directories of all crates.
pub(crate) fn sources(directories: &[&str]) -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is one of several");
    let mut files = Vec::new();
    let mut left: Vec<_> =
        entries(crates).iter().flat_map(|path| directories.iter().map(|name| path.join(name))).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(entries(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("a readable directory").path()).collect()
}

/// The numbers that the tests of a source are marked with. A mark outside of a test, or in one that does not run, is a slip.
fn of(source: &str, file: &Path) -> BTreeSet<u16> {
    let mut numbers = BTreeSet::new();
    // The white space before the test that a line is in.
    let mut test: Option<&str> = None;
    let mut begins = false;
    for line in source.lines() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if code == "#[test]" {
            begins = true;
        } else if begins && code.starts_with("fn ") {
            (test, begins) = (Some(indent), false);
        } else if code == "}" && test == Some(indent) {
            test = None;
        } else if let Some(mark) = code.strip_prefix("// Hostile input") {
            assert!(test.is_some(), "{}: the mark of no test: {code}", file.display());
            let marked = parse(mark);
            assert!(!marked.is_empty(), "{}: a mark without a number: {code}", file.display());
            numbers.extend(marked);
        }
        assert!(!(begins && code.starts_with("#[ignore")), "{}: a test that does not run", file.display());
    }
    numbers
}

/// The numbers at the beginning of a mark, behind `Hostile input`.
fn parse(mark: &str) -> Vec<u16> {
    let mut numbers: Vec<u16> = Vec::new();
    let mut range = false;
    for word in mark.strip_prefix('s').unwrap_or(mark).split_whitespace() {
        let number = word.trim_end_matches([',', '.', ':']);
        match number.parse() {
            Ok(last) if range => {
                let first = *numbers.last().expect("a range begins with a number");
                assert!(first < last, "{mark}");
                numbers.extend(first + 1..=last);
            }
            Ok(number) => numbers.push(number),
            Err(_) if matches!(number, "and" | "to") => {}
            Err(_) => break,
        }
        range = number == "to";
        if word.ends_with(['.', ':']) {
            break;
        }
    }
    numbers
}

#[test]
fn a_mark_counts_where_it_stands_in_a_test() {
    for (mark, numbers) in [
        (" 7", vec![7]),
        (" 7. In 9 of 10 cases.", vec![7]),
        (" 7, scaled down to 3.", vec![7]),
        ("s 1, 3 and 5 to 8: and 9.", vec![1, 3, 5, 6, 7, 8]),
        (" and nothing", vec![]),
    ] {
        assert_eq!(parse(mark), numbers, "{mark}");
    }
    let file = Path::new("here");
    let source = |attribute: &str, before: &str, inside: &str| {
        format!("{attribute}\nfn test() {{\n    if true {{\n    }}\n    {inside}\n}}\n{before}\nfn other() {{\n}}\n")
    };
    assert_eq!(of(&source("#[test]", "", "// Hostile input 7."), file), [7].into());
    for (attribute, before, inside) in [
        ("", "", "// Hostile input 7."),
        ("#[test]", "// Hostile input 7.", ""),
        ("#[test]", "", "// Hostile input, but which?"),
        ("#[test]\n#[ignore]", "", "// Hostile input 7."),
    ] {
        let source = source(attribute, before, inside);
        assert!(std::panic::catch_unwind(|| of(&source, file)).is_err(), "{source}");
    }
}

#[test]
fn a_mark_in_c_counts_above_a_function_that_is_called() {
    let file = Path::new("here.c");
    let called = "\nint main(void) {\n    test();\n}\n";
    for comment in ["/* Hostile input 7. */", "/* Hostile input 7: in\n   two lines. */", "// Hostile input 7."] {
        let source = |between: &str, main: &str| {
            format!("#include <a.h>\n\n{comment}\n{between}static void test(void) {{\n}}\n{main}")
        };
        for between in ["", "static int data;\n\n"] {
            assert_eq!(of_c(&source(between, called), file), [7].into(), "{comment}");
        }
        for (between, main) in [("\n", called), ("", "\nint main(void) {\n}\n")] {
            let source = source(between, main);
            assert!(std::panic::catch_unwind(|| of_c(&source, file)).is_err(), "{source}");
        }
    }
    assert_eq!(of_c("/* Hostile input 7. */\n#include <a.h>\n", file), [7].into());
}
