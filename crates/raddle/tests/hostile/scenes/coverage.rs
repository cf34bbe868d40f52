//! Which cases of docs/hostile-inputs.md are covered: by a line of the table, by a test that is marked with their number, or
//! for a reason not at all.

use std::collections::BTreeSet;

use super::marks;
use crate::rows;

/// Cases that do not concern what there is: two engines and a client, in Rust, over TCP and Unix sockets.
const NOT_CONCERNED: &[(u16, &str)] = &[
    (160, "there is no option that leaves Pings to the application: the page says so"),
    (194, "there is no option that switches the check of text off"),
    (233, "there is no limit of the rate of messages: reading stops where a handler is slow"),
    (
        258,
        "what a connection takes is bounded by its limits; what is small and fixed ends the process, as in any program",
    ),
    (277, "a Reader receives by `&mut self`: two threads cannot, without a lock of the application's"),
    (295, "it is the application's memory; Rust ends the process where it is refused"),
    (362, "keys are an input of `core` only; nothing of `socket` takes or gives one"),
    (367, "there are no helpers that compare secrets"),
];

/// Cases that concern the library, and that it does not meet yet.
const OPEN: &[(u16, &str)] = &[
    (134, "nothing is built for 32 bits or for a big-endian machine, nor run there"),
    (251, "every line of the table is cut anywhere, but no network loses, delays or reorders what it carries"),
    (257, "memory that is refused for a message ends the process, as `Vec` has it"),
    (285, "interleavings are tried out by chance and under load, not exhaustively"),
    (
        374,
        "frames are compared with Autobahn's and other libraries' by cases, not with three of them by random streams",
    ),
    (375, "heads are compared with the page's verdicts, not with three parsers of others by random heads"),
];

const PAGE: &str = include_str!("../../../../../docs/hostile-inputs.md");

/// The groups that concern the protocol without I/O, the server and the client: not those of the C interface (S) and the Python
/// interface (T) alone, which have checks of their own.
const GROUPS: &str = "ABCDEFGHIJKLMNOPQRUVWX";

#[test]
fn every_case_of_these_groups_is_covered() {
    let page: BTreeSet<u16> = numbers(PAGE, GROUPS);
    assert!(page.contains(&1) && page.contains(&379) && page.contains(&88) && page.len() == 341, "{}", page.len());

    let mut covered: BTreeSet<u16> = rows::all().iter().map(|case| case.number).collect();
    covered.extend(marks::all());
    // What only a program in C can show.
    covered.extend(marks::in_c());
    for (number, reason) in [NOT_CONCERNED, OPEN].concat() {
        assert!(page.contains(&number), "case {number} is none of these groups");
        assert!(covered.insert(number), "case {number} is covered, and not left out: {reason:?}");
    }
    let missing: Vec<_> = page.difference(&covered).collect();
    assert!(missing.is_empty(), "not covered: {missing:?}");
}

#[test]
fn every_case_of_the_c_interface_is_covered_by_a_program_in_c() {
    let page = numbers(PAGE, "S");
    assert_eq!((page.first(), page.last(), page.len()), (Some(&297), Some(&317), 21));
    let covered = marks::in_c();
    let missing: Vec<_> = page.difference(&covered).collect();
    assert!(missing.is_empty(), "not covered: {missing:?}");
}

#[test]
fn nothing_in_the_library_looks_at_the_wall_clock_or_the_environment() {
    // Hostile inputs 245 and 370: but for the time at which a connection was opened, which is told and not counted with.
    // The sockets that systemd passes are found by their environment where the application asks for them. This is a reminder for
    // who changes the sources, and no proof.
    let mut seen = Vec::new();
    for file in marks::sources(&["src"]) {
        let source = marks::read(&file);
        for (word, allowed) in [
            ("SystemTime::now", "socket/src/info.rs"),
            ("env::", ""),
            ("var_os", ""),
            ("getenv", ""),
            ("from_env", "server/src/listener.rs"),
            ("Realtime", ""),
            ("CLOCK_REALTIME", ""),
            ("gettimeofday", ""),
            ("libc::time", ""),
        ] {
            if source.contains(word) {
                assert!(!allowed.is_empty() && file.ends_with(allowed), "{word} in {}", file.display());
                seen.push(word);
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["SystemTime::now", "from_env"]);
}

/// The numbers of the cases in the groups.
fn numbers(page: &str, groups: &str) -> BTreeSet<u16> {
    let mut group = None;
    let mut numbers = BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title.split_once(". ").map(|(letter, _)| letter);
        } else if group.is_some_and(|letter| groups.contains(letter)) {
            let number = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next());
            numbers.extend(number.and_then(|number| number.parse::<u16>().ok()));
        }
    }
    numbers
}
