//! Which cases of docs/hostile-inputs.md are covered, and where.

use std::collections::BTreeSet;

use super::{closing, memory, pressure, sending, tcp, timers};
use crate::rows;

/// Cases of these groups that are not tested here: why, and where they are.
const ELSEWHERE: &[(u16, &str)] = &[
    (129, "masking against a slow oracle: crates/core/tests/mask.rs"),
    (134, "builds for 32 bits and for big-endian machines: these very tests, run on such a build"),
    (160, "there is no option that leaves Pings to the application"),
    (190, "compressed text comes with permessage-deflate, which is declined"),
    (192, "all short sequences against a slow oracle: crates/core/tests/utf8.rs"),
    (193, "text is a &str in Rust: the C and Python interfaces have to check it"),
    (194, "there is no option that switches the check of text off"),
];

/// What is true of every line of the table.
const EVERY_LINE: super::Covers = &[
    (39, crate::every_line_holds_without_io_however_it_is_cut),
    (132, crate::every_line_holds_without_io_however_it_is_cut),
    (179, crate::every_line_holds_with_a_thread_per_connection),
];

/// The groups that concern the protocol without I/O and the server. Group G is the client's.
const GROUPS: &str = "ABCDEFHIJKL";

#[test]
fn every_case_of_these_groups_is_covered() {
    let page: BTreeSet<u16> = numbers(include_str!("../../../../../docs/hostile-inputs.md"));
    assert!(page.contains(&1) && page.contains(&195) && !page.contains(&88) && page.len() == 168, "{page:?}");

    let mut covered: BTreeSet<u16> = rows::all().iter().map(|case| case.number).collect();
    for covers in
        [EVERY_LINE, closing::COVERS, memory::COVERS, pressure::COVERS, sending::COVERS, tcp::COVERS, timers::COVERS]
    {
        covered.extend(covers.iter().map(|(number, _)| number));
    }
    for (number, reason) in ELSEWHERE {
        assert!(!covered.contains(number), "case {number} is covered here, and not {reason:?}");
    }
    covered.extend(ELSEWHERE.iter().map(|(number, _)| number));
    let missing: Vec<_> = page.difference(&covered).collect();
    assert!(missing.is_empty(), "not covered: {missing:?}");
}

/// The numbers of the cases in the groups.
fn numbers(page: &str) -> BTreeSet<u16> {
    let mut group = None;
    let mut numbers = BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title.split_once(". ").map(|(letter, _)| letter);
        } else if group.is_some_and(|letter| GROUPS.contains(letter)) {
            let number = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next());
            numbers.extend(number.and_then(|number| number.parse::<u16>().ok()));
        }
    }
    numbers
}
