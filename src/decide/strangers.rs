//! Timelines in an archive that are not this server's, and that a restore to `latest` would follow all the same.
//!
//! PostgreSQL asks for `<N+1>.history`, `<N+2>.history` and so on until one is not there, and goes to the last that was
//! (`findNewestTimeLine`, src/backend/access/transam/timeline.c, 13 to 18). So a history above the primary's own timeline,
//! without a hole between the two, takes its restores along: a copy that was promoted and archives into its origin's stanza
//! has stored it, or a primary that nobody stopped is asking while another one has taken over.

use std::collections::{BTreeMap, BTreeSet};

/// A timeline that is not this server's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stranger {
    /// The timeline at which a restore to `latest` would arrive.
    pub timeline: u32,
    /// This server's own.
    pub own: u32,
    /// The repositories that hold its history.
    pub repositories: Vec<u32>,
}

/// What a restore to `latest` would follow instead of this server's line. `own`: the primary's timeline. `histories`: the
/// timelines whose histories each repository lists.
#[must_use]
pub fn followed(own: u32, histories: &BTreeMap<u32, BTreeSet<u32>>) -> Option<Stranger> {
    let arrives = |listed: &BTreeSet<u32>| {
        let above = (own.saturating_add(1)..=u32::MAX).take_while(|timeline| listed.contains(timeline));
        above.last()
    };
    let ends: BTreeMap<u32, u32> =
        histories.iter().filter_map(|(key, listed)| Some((*key, arrives(listed)?))).collect();
    let timeline = ends.values().copied().max()?;
    Some(Stranger { timeline, own, repositories: ends.into_keys().collect() })
}

/// What `status` says of it.
#[must_use]
pub fn reason(stranger: &Stranger) -> String {
    let Stranger { timeline, own, repositories } = stranger;
    let keys: Vec<String> = repositories.iter().map(u32::to_string).collect();
    let (repository, holds) = if keys.len() == 1 { ("repository", "holds") } else { ("repositories", "hold") };
    format!(
        "{repository} {} {holds} timeline {timeline}, which is not this server's (it is on {own}): a restore to the end of the \
         archive would follow it; see whether a copy or another primary archives into this stanza and give it a stanza of its \
         own, restore with --target-timeline={own} until then, and remove {timeline:08X}.history from the archive once nobody \
         needs that timeline",
        keys.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(histories: &[(u32, &[u32])]) -> BTreeMap<u32, BTreeSet<u32>> {
        histories.iter().map(|(key, listed)| (*key, listed.iter().copied().collect())).collect()
    }

    #[test]
    fn only_what_postgresql_would_arrive_at_is_a_stranger() {
        let table: [(u32, &[u32], Option<u32>); 8] = [
            (1, &[], None),
            (2, &[2], None),
            (1, &[2], Some(2)),
            (1, &[2, 3], Some(3)),
            // Nobody asks for what lies behind a hole.
            (1, &[3], None),
            (1, &[2, 4], Some(2)),
            // What lies below is left behind.
            (4, &[2, 3, 4], None),
            (u32::MAX, &[2], None),
        ];
        for (own, histories, expected) in table {
            let found = followed(own, &listed(&[(1, histories)])).map(|stranger| stranger.timeline);
            assert_eq!(found, expected, "{own} {histories:?}");
        }
    }

    #[test]
    fn each_repository_that_leads_there_is_named() {
        let found = followed(2, &listed(&[(1, &[2]), (2, &[2, 3]), (3, &[3, 4])])).unwrap();
        assert_eq!(found, Stranger { timeline: 4, own: 2, repositories: vec![2, 3] });
        let said = reason(&found);
        assert!(
            said.starts_with("repositories 2 and 3 hold timeline 4, which is not this server's (it is on 2)"),
            "{said}"
        );
        assert!(said.contains("--target-timeline=2") && said.contains("remove 00000004.history"), "{said}");
        let alone = reason(&Stranger { timeline: 26, own: 1, repositories: vec![1] });
        assert!(alone.starts_with("repository 1 holds timeline 26") && alone.contains("0000001A.history"), "{alone}");
    }
}
