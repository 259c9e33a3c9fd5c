//! What a drill goes for, and what its stages come to.

use crate::drill_record::{Aim, Verdict};

/// A stretch of time that `status` claims, in seconds since 1970, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// Its first second.
    pub from: i64,
    /// Its last second.
    pub to: i64,
}

/// The moment that a drill goes for: `None` is the end of the archive.
pub type Moment = Option<i64>;

/// Chooses in turn: the newest, the oldest, any. Where no stretch of time is claimed, the end of the archive is what is left.
#[must_use]
pub fn choose(before: Option<Aim>, claimed: &[Claimed], random: u64) -> (Aim, Moment) {
    let oldest = claimed.iter().map(|claimed| claimed.from).min();
    match (before, oldest) {
        (Some(Aim::Newest), Some(oldest)) => (Aim::Oldest, Some(oldest)),
        (Some(Aim::Oldest), Some(_)) => (Aim::Random, any(claimed, random)),
        _ => (Aim::Newest, None),
    }
}

/// A moment of the claimed ones, each as likely as another.
fn any(claimed: &[Claimed], random: u64) -> Moment {
    let seconds = |claimed: &Claimed| u64::try_from(claimed.to - claimed.from + 1).unwrap_or(0);
    let all: u64 = claimed.iter().map(seconds).sum();
    let mut at = random.checked_rem(all)?;
    for one in claimed {
        if at < seconds(one) {
            return Some(one.from + i64::try_from(at).ok()?);
        }
        at -= seconds(one);
    }
    None
}

/// A moment that nobody claims: a second before everything; it must be refused.
#[must_use]
pub fn outside(claimed: &[Claimed], oldest_backup: Option<i64>) -> Option<i64> {
    claimed.iter().map(|claimed| claimed.from).chain(oldest_backup).min().map(|oldest| oldest - 1)
}

/// What the stages come to: failed where one has, passed where all have.
#[must_use]
pub fn verdict(stages: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut all = Verdict::Unverified;
    for (number, stage) in stages.into_iter().enumerate() {
        all = match (all, stage) {
            (Verdict::Failed, _) | (_, Verdict::Failed) => return Verdict::Failed,
            (_, Verdict::Passed) if number == 0 => Verdict::Passed,
            (Verdict::Passed, Verdict::Passed) => Verdict::Passed,
            _ => Verdict::Unverified,
        };
    }
    all
}

/// Whether `status` must warn of a drill, and why. Times in seconds; `most` of 0: however old it is.
#[must_use]
pub fn trouble(verdict: Verdict, at: i64, passed_at: Option<i64>, now: i64, most: u64) -> Option<String> {
    const DAY: i64 = 86_400;
    if verdict == Verdict::Failed {
        return Some("the last drill failed: something claimed to be restorable was not".to_owned());
    }
    let most_seconds = i64::try_from(most).unwrap_or(i64::MAX);
    let age = now.saturating_sub(passed_at.unwrap_or(i64::MIN));
    if most == 0 || age <= most_seconds {
        return None;
    }
    Some(match passed_at {
        Some(_) => format!("the last drill that passed is {} days old", age / DAY),
        None => format!(
            "no drill has passed; the last one, {} days ago, was {}",
            now.saturating_sub(at) / DAY,
            verdict.as_str()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMED: [Claimed; 2] = [Claimed { from: 100, to: 109 }, Claimed { from: 200, to: 200 }];

    #[test]
    fn moments_are_chosen_in_turn() {
        assert_eq!(choose(None, &CLAIMED, 0), (Aim::Newest, None));
        assert_eq!(choose(Some(Aim::Newest), &CLAIMED, 0), (Aim::Oldest, Some(100)));
        assert_eq!(choose(Some(Aim::Random), &CLAIMED, 0), (Aim::Newest, None));
        assert_eq!(choose(Some(Aim::Named), &CLAIMED, 0), (Aim::Newest, None));
        assert_eq!(choose(Some(Aim::Newest), &[], 0), (Aim::Newest, None), "nothing else is claimed");
        let random: Vec<Moment> = (0..11).map(|random| choose(Some(Aim::Oldest), &CLAIMED, random).1).collect();
        let expected: Vec<Moment> = (100..110).chain([200]).map(Some).collect();
        assert_eq!(random, expected, "each second once");
        assert_eq!(choose(Some(Aim::Oldest), &CLAIMED, 11).1, Some(100));
    }

    #[test]
    fn outside_is_before_everything() {
        assert_eq!(outside(&CLAIMED, Some(90)), Some(89));
        assert_eq!(outside(&CLAIMED, None), Some(99));
        assert_eq!(outside(&[], None), None);
    }

    #[test]
    fn one_failure_is_one_and_what_was_not_seen_is_never_green() {
        use Verdict::{Failed, Passed, Unverified};
        for (stages, expected) in [
            (&[Passed, Passed][..], Passed),
            (&[Passed, Unverified, Passed], Unverified),
            (&[Unverified, Passed], Unverified),
            (&[Unverified, Failed, Passed], Failed),
            (&[], Unverified),
        ] {
            assert_eq!(verdict(stages.iter().copied()), expected, "{stages:?}");
        }
    }

    #[test]
    fn an_old_or_failed_drill_is_a_reason() {
        const DAY: i64 = 86_400;
        let days = |count: u64| count * 86_400;
        assert_eq!(trouble(Verdict::Passed, 0, Some(0), 5 * DAY, days(7)), None);
        assert!(trouble(Verdict::Passed, 0, Some(0), 8 * DAY, days(7)).unwrap().contains("8 days old"));
        assert_eq!(trouble(Verdict::Passed, 0, Some(0), 800 * DAY, 0), None, "however old");
        assert!(trouble(Verdict::Failed, 0, Some(0), 0, 0).unwrap().contains("drill failed"));
        assert!(trouble(Verdict::Unverified, 0, None, 3 * DAY, days(2)).unwrap().contains("no drill has passed"));
        assert_eq!(trouble(Verdict::Unverified, DAY, Some(0), DAY, days(2)), None, "one before it has");
    }
}
