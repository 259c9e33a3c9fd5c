//! Timeline history files.
//!
//! A line for each timeline on the way, `<timeline>\t<where it was left>\t<reason>`, oldest first (timeline.c,
//! `readTimeLineHistory`, PostgreSQL 13 to 18); `#` begins a comment.

use super::{Lsn, Timeline};
use std::collections::BTreeMap;

/// The timelines on the way to a history's own, and where each was left. Lines that are none are passed over.
#[must_use]
pub fn parse_history(text: &str) -> Vec<(Timeline, Lsn)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((Timeline(words.next()?.parse().ok()?), words.next()?.parse().ok()?))
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(line).collect()
}

/// By timeline: the one that it left, and where. `own` is the timeline whose history it is.
#[must_use]
pub fn parents(text: &str, own: u32) -> BTreeMap<u32, (u32, u64)> {
    let parents: Vec<_> = parse_history(text).into_iter().map(|(timeline, left)| (timeline.0, left.0)).collect();
    let children = parents.iter().skip(1).map(|(child, _)| *child).chain([own]);
    children.zip(parents.iter().copied()).filter(|(child, (parent, _))| parent < child).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        let text = "# a comment\n1\t0/5000000\tno recovery target specified\n\nx\n3\t0/7000028\tbefore 2026\n";
        assert_eq!(parse_history(text), [(Timeline(1), Lsn(0x0500_0000)), (Timeline(3), Lsn(0x0700_0028))]);
    }

    #[test]
    fn a_history_tells_the_whole_line() {
        let text = "# a comment\n1\t0/5000000\tno recovery target specified\n\n3\t0/7000028\tbefore 2026\n";
        assert_eq!(parents(text, 4), BTreeMap::from([(3, (1, 0x0500_0000)), (4, (3, 0x0700_0028))]));
        assert_eq!(parents("x\n5\t0/1\n", 4), BTreeMap::new(), "a parent is older than its child");
    }
}
