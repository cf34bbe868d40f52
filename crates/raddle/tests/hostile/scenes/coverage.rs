//! Which cases of docs/hostile-inputs.md are covered: by a line of the table, by a test that is marked with their number, or
//! for a reason not at all.

use std::collections::BTreeSet;

use super::marks;
use crate::rows;

/// Cases that do not concern what there is: engine `threads`, in Rust, over TCP and Unix sockets.
const NOT_CONCERNED: &[(u16, &str)] = &[
    (134, "builds for 32 bits and for big-endian machines: these very tests, run on such a build"),
    (160, "there is no option that leaves Pings to the application"),
    (190, "compressed text comes with permessage-deflate, which is declined"),
    (193, "text is a &str in Rust: the C and Python interfaces have to check it"),
    (194, "there is no option that switches the check of text off"),
];

/// The groups that concern the protocol without I/O and the server. Group G is the client's.
const GROUPS: &str = "ABCDEFHIJKL";

#[test]
fn every_case_of_these_groups_is_covered() {
    let page: BTreeSet<u16> = numbers(include_str!("../../../../../docs/hostile-inputs.md"));
    assert!(page.contains(&1) && page.contains(&195) && !page.contains(&88) && page.len() == 168, "{}", page.len());

    let mut covered: BTreeSet<u16> = rows::all().iter().map(|case| case.number).collect();
    covered.extend(marks::all());
    for (number, reason) in NOT_CONCERNED {
        assert!(page.contains(number), "case {number} is none of these groups");
        assert!(covered.insert(*number), "case {number} is covered, and not left out: {reason:?}");
    }
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
