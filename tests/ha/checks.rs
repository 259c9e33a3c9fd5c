//! What must hold after every scenario, whatever went wrong in it.
//!
//! A switch to a new timeline splits its WAL between two archivers: the old primary's, which may have died with segments
//! that nobody else sends (a standby marks as done what it has streamed, walreceiver.c), and the new one's. So the path
//! of the newest timeline is walked from the first backup on, and each segment on it is looked for by name.

use crate::node::Node;
use crate::scene::{LONG, Scene};
use pgbackrest_guard::ledger::{DEFERRED, Ledger};
use pgbackrest_guard::wal::{SegmentName, SegmentSize, Timeline, parse_history};
use pgbackrest_guard_lab::{eventually, within};
use std::collections::BTreeSet;
use std::fs;

/// All of it, as soon as the repository answers and the watcher has had its turns.
#[track_caller]
pub(crate) fn all_holds(scene: &Scene<'_>) -> String {
    let primary = scene.primary();
    let timeline = Scene::timeline(primary);
    one_primary(scene, timeline);
    scene.assert_rows();
    scene.commit(1);
    nothing_waits(primary);
    every_segment_is_accounted_for(scene, primary, timeline);
    ancestry(primary, timeline);
    let counts = "SELECT archived_count || ' archived, ' || failed_count || ' failed' FROM pg_stat_archiver";
    format!("timeline {timeline}, {}", primary.sql(counts))
}

/// No other server takes writes, and all are on the primary's timeline.
#[track_caller]
fn one_primary(scene: &Scene<'_>, timeline: u32) {
    let primaries: Vec<_> = scene.nodes.iter().filter(|node| node.is_primary()).map(|node| &node.name).collect();
    assert_eq!(primaries.len(), 1, "{primaries:?} take writes");
    scene.wait_streaming();
    for node in &scene.nodes {
        let newest = node.sql("SELECT timeline_id FROM pg_control_checkpoint()");
        assert!(newest.parse::<u32>().unwrap() <= timeline, "{} is on timeline {newest}", node.name);
    }
}

/// No file waits for the archiver.
#[track_caller]
pub(crate) fn nothing_waits(primary: &Node) {
    let ready = || {
        let status = fs::read_dir(primary.pgdata.join("pg_wal/archive_status")).into_iter().flatten().flatten();
        status.filter(|entry| entry.file_name().to_string_lossy().ends_with(".ready")).count()
    };
    eventually("nothing waits for archiving", LONG, || ready() == 0);
}

/// The segments of the newest timeline's path; as nothing waits, all before the current one are acknowledged.
fn path(primary: &Node, timeline: u32, first: u64, last: u64, size: SegmentSize) -> Vec<SegmentName> {
    let history = fs::read_to_string(primary.pgdata.join(format!("pg_wal/{timeline:08X}.history")));
    let ends = parse_history(&history.unwrap_or_default());
    let of = |number: u64| {
        // The segment in which a timeline ends is the next one's: it is archived whole there, and partial here.
        let left = ends.iter().find(|(_, end)| number < end.0 / size.bytes());
        left.map_or(Timeline(timeline), |(timeline, _)| *timeline)
    };
    (first..=last).filter_map(|number| SegmentName::from_number(of(number), number, size)).collect()
}

#[track_caller]
fn every_segment_is_accounted_for(scene: &Scene<'_>, primary: &Node, timeline: u32) {
    let size: SegmentSize = (1u64 << 20).try_into().unwrap();
    let current: SegmentName = primary.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").parse().unwrap();
    let first = first_backup(primary).number(size);
    let segments = path(primary, timeline, first, current.number(size) - 1, size);
    let mut missing = Vec::new();
    let found = within(LONG, || {
        missing = unrecorded(scene, &segments, size);
        missing.is_empty()
    });
    assert!(found, "acknowledged and nowhere: {missing:?}\n{}", primary.status("/gaps"));
}

/// Where the oldest backup begins; pgBackRest removes what lies before it (expire.c).
fn first_backup(primary: &Node) -> SegmentName {
    let info: serde_json::Value = serde_json::from_str(&primary.backrest.info().stdout).unwrap();
    let start = info.pointer("/0/backup/0/archive/start").and_then(serde_json::Value::as_str);
    start.and_then(|name| name.parse().ok()).unwrap_or_else(|| panic!("no backup in {info:#}"))
}

/// What is neither in the repository nor in a node's ledger nor kept as a copy.
fn unrecorded(scene: &Scene<'_>, segments: &[SegmentName], size: SegmentSize) -> Vec<String> {
    let stored = scene.node(0).backrest.archived(1);
    let folders: Vec<_> = scene.nodes.iter().map(|node| node.pgdata.join(".pgbackrest_guard")).collect();
    let states: Vec<_> = folders.iter().filter_map(|folder| Ledger::peek(folder).ok().flatten()).collect();
    let kept: BTreeSet<String> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder.join(DEFERRED)).into_iter().flatten().flatten())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let is_lost = |segment: &SegmentName| {
        let (name, number) = (segment.to_string(), segment.number(size));
        let covers = |gap: &pgbackrest_guard::ledger::gaps::Gap| {
            let same = gap.first.timeline() == segment.timeline();
            same && (gap.first.number(size)..=gap.last.number(size)).contains(&number)
        };
        let recorded = states.iter().any(|state| state.gaps.iter().any(covers));
        !stored.contains(&name) && !kept.contains(&name) && !recorded
    };
    segments.iter().filter(|segment| is_lost(segment)).map(ToString::to_string).collect()
}

/// The newest history in the archive is the primary's own, with every timeline before it.
#[track_caller]
fn ancestry(primary: &Node, timeline: u32) {
    if timeline == 1 {
        return;
    }
    let name = format!("{timeline:08X}.history");
    let newest = || primary.backrest.archived(1).into_iter().rfind(|name| name.ends_with(".history"));
    assert!(within(LONG, || newest().as_ref() == Some(&name)), "the newest history is {:?}, not {name}", newest());
    let text = fs::read_to_string(primary.pgdata.join("pg_wal").join(&name)).unwrap();
    let parents: Vec<u32> = parse_history(&text).iter().map(|(timeline, _)| timeline.0).collect();
    assert_eq!(parents, (1..timeline).collect::<Vec<_>>(), "{text}");
}
