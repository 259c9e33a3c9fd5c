//! A failing schedule made smaller: faults are left out, as long as it fails in the same way without them.

use super::run::{Outcome, run};
use super::schedule::{Schedule, Size};
use std::collections::BTreeSet;

/// Leaves out halves, then quarters, and so on down to single faults. Says what is left.
pub(crate) fn shrink(schedule: &Schedule, size: Size, outcome: &Outcome, mut tries: usize) {
    let kinds = outcome.kinds();
    let mut left_out = BTreeSet::new();
    let mut smallest = schedule.clone();
    let mut part = smallest.faults.len().div_ceil(2);
    while part > 0 && tries > 0 {
        let numbers: Vec<u32> = smallest.faults.iter().map(|planned| planned.number).collect();
        let mut fewer = false;
        for some in numbers.chunks(part) {
            if tries == 0 {
                break;
            }
            tries -= 1;
            let without: BTreeSet<u32> = left_out.iter().chain(some).copied().collect();
            let candidate = schedule.without(&without);
            let again = run(&candidate, size);
            if again.kinds().iter().any(|kind| kinds.contains(kind)) {
                (left_out, smallest, fewer) = (without, candidate, true);
            }
        }
        if !fewer || part >= smallest.faults.len() {
            part /= 2;
        }
    }
    let numbers: Vec<String> = left_out.iter().map(u32::to_string).collect();
    eprintln!("it fails with these faults too: CAMPAIGN='{} without {}'\n{smallest}", schedule.seed, numbers.join(","));
}
