//! The archive: the stanza, then one segment on its way there and back.

use super::Request;
use crate::data_directory::DataDirectory;
use crate::decide::check::{Finding, shows};
use crate::ledger::Ledger;
use crate::pgbackrest::{Client, Fetch, Fetched, NoListing, Watch};
use crate::postgres::Postgres;
use crate::wal::{PageTimeline, SegmentName, WalFile, listed, whole_segment};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one answer of a repository may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How often it is looked whether the segment is archived.
const INTERVAL: Duration = Duration::from_millis(100);
/// Characters of a message.
const SHOWN: usize = 300;

/// Where a repository keeps this cluster's WAL.
pub(super) struct Place {
    repository: u32,
    path: String,
}

/// Whether each repository has a stanza of this cluster; where its WAL lies there.
pub(super) fn stanza(client: &Client, directory: &DataDirectory) -> (Finding, Vec<Place>) {
    const STEP: &str = "stanza";
    let failed = |detail: String, to_do: &str| (Finding::failed(STEP, detail, to_do), Vec::new());
    let Some(control) = directory.control() else {
        return failed("the cluster's system identifier can't be read".to_owned(), "check global/pg_control");
    };
    let stanza = match client.info(None, Watch::within(LIMIT)) {
        Ok(stanza) => stanza,
        Err(failure) => return failed(failure.shown(SHOWN), &failure.remedy()),
    };
    let keys = client.config().map(crate::pgbackrest::config::Config::repositories).unwrap_or_default();
    let mut places = Vec::new();
    for key in keys {
        if !stanza.is_readable(key) {
            let said = stanza.repo.iter().find(|one| one.key == key).map(|one| one.status.message.clone());
            let said = said.filter(|said| !said.is_empty()).unwrap_or_else(|| "it can't be read".to_owned());
            return failed(format!("repository {key}: {said}"), "fix that repository, then run this again");
        }
        let Some(id) = stanza.archive_id(control.system_id, key) else {
            return failed(
                format!("repository {key} has no archive of this cluster"),
                "run pgbackrest stanza-create, or leave it to pgbackrest-guard watch",
            );
        };
        places.push(Place { repository: key, path: format!("archive/{}/{id}", client.stanza()) });
    }
    if places.is_empty() {
        return failed("no repository is configured".to_owned(), "configure repo1-* in pgbackrest.conf");
    }
    let full = stanza.good_backups(control.system_id).count();
    let backups = if full == 1 { "1 backup".to_owned() } else { format!("{full} backups") };
    (Finding::ok(STEP, format!("{}, {backups}", client.stanza())), places)
}

/// One segment on its way: switched, archived, listed, fetched back.
pub(super) fn segment(
    request: &Request,
    client: &Client,
    server: &Postgres,
    places: &[Place],
    switched: &mut bool,
) -> Vec<Finding> {
    const STEP: &str = "segment";
    let name = match server.switch_segment() {
        Ok(name) => name,
        Err(error) => {
            let to_do = "allow the role to call pg_switch_wal(), or name another role with PGUSER";
            return vec![Finding::failed(STEP, crate::log::chain(&error), to_do)];
        }
    };
    *switched = true;
    let Ok(segment) = name.parse::<SegmentName>() else {
        return vec![Finding::failed(STEP, format!("the server calls it {name}"), "report this")];
    };
    let started = Instant::now();
    if !is_archived(request, server, segment) {
        let detail = format!("{name} was not archived within {} s{}", request.limit.as_secs(), why(request));
        return vec![Finding::failed(STEP, detail, "see pgbackrest-guard status and the server's log")];
    }
    let took = started.elapsed().as_secs_f64();
    if is_lost(request, segment) {
        let detail = format!("{name} was dropped and recorded as lost{}", why(request));
        return vec![Finding::failed(STEP, detail, "see pgbackrest-guard status --gaps")];
    }
    let mut findings = vec![Finding::ok(STEP, format!("{name} was archived {took:.1} s after its switch"))];
    for place in places {
        findings.push(stored(client, place, segment));
        if findings.last().is_some_and(|last| !last.has_failed()) {
            findings.push(fetched(request, client, place, segment));
        }
    }
    findings
}

/// Whether PostgreSQL was told that the segment is archived, before the time is over.
fn is_archived(request: &Request, server: &Postgres, segment: SegmentName) -> bool {
    let done = request.directory.archive_status().join(format!("{segment}.done"));
    let until = Instant::now() + request.limit;
    loop {
        // A checkpoint removes the file; the server's count stays.
        let newest = server.archiver().ok().and_then(|archiver| archiver.last_archived_wal);
        if done.exists() || newest.is_some_and(|newest| shows(&newest, segment)) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The newest failure of a push, in words that follow others.
fn why(request: &Request) -> String {
    let state = request.common.state_dir.as_ref().and_then(|folder| Ledger::peek(&folder.value).ok().flatten());
    let failure = state.and_then(|state| state.push.last_failure);
    failure.map_or_else(String::new, |failure| format!("; the last push failed: {}", failure.message))
}

fn is_lost(request: &Request, segment: SegmentName) -> bool {
    let folder = request.common.state_dir.as_ref();
    let state = folder.and_then(|folder| Ledger::peek(&folder.value).ok().flatten());
    state.is_some_and(|state| state.gaps.open().any(|gap| gap.holds(segment, false, state.segment_size())))
}

/// Whether a repository lists the segment.
fn stored(client: &Client, place: &Place, segment: SegmentName) -> Finding {
    const STEP: &str = "stored";
    let name = segment.to_string();
    let folder = format!("{}/{}", place.path, name.get(..16).unwrap_or_default());
    let repository = place.repository;
    match client.list(repository, &folder, Watch::within(LIMIT)) {
        Ok(listing) if listing.lines().any(|line| listed(line) == Some(WalFile::Segment(segment))) => {
            Finding::ok(STEP, format!("repository {repository} lists it"))
        }
        Ok(_) => Finding::failed(
            STEP,
            format!("repository {repository} does not list it, although PostgreSQL counts it as archived"),
            "see pgbackrest-guard status --gaps, and who else writes to this repository",
        ),
        Err(NoListing::Failed(failure)) => Finding::failed(STEP, failure.shown(SHOWN), failure.remedy()),
        Err(NoListing::TooLong) => Finding::failed(STEP, format!("the listing of {folder} is too long"), "report this"),
    }
}

/// Whether a repository gives the segment back as it was.
fn fetched(request: &Request, client: &Client, place: &Place, segment: SegmentName) -> Finding {
    const STEP: &str = "fetched";
    let repository = place.repository;
    let failed = |detail: String, to_do: String| {
        Finding::failed(STEP, format!("not from repository {repository}: {detail}"), to_do)
    };
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return failed(format!("can't make a folder for it: {error}"), "check TMPDIR".to_owned()),
    };
    let (file, to) = (WalFile::Segment(segment), folder.path().join(segment.to_string()));
    let fetch = Fetch {
        file: &file,
        to: &to,
        data_directory: None,
        repository: Some(repository),
        synchronous: true,
        verbose: false,
    };
    match client.fetch(&fetch, Watch::within(LIMIT)).answer {
        Fetched::Delivered => match is_itself(request, segment, &to) {
            Ok(true) => Finding::ok(STEP, format!("from repository {repository}, and it is the same")),
            Ok(false) => {
                failed("it has other content".to_owned(), "find out who else archives to this stanza".to_owned())
            }
            Err(error) => failed(error.to_string(), "run this again".to_owned()),
        },
        Fetched::Absent => failed("it is not found".to_owned(), "run this again".to_owned()),
        Fetched::Unclear { failure, .. } => failed(failure.shown(SHOWN), failure.remedy()),
    }
}

/// Whether what was fetched is the segment; as far as `pg_wal` still has it, byte by byte.
fn is_itself(request: &Request, segment: SegmentName, fetched: &Path) -> io::Result<bool> {
    let system_id = request.directory.control().map(|control| control.system_id).unwrap_or_default();
    let is_whole = whole_segment(&File::open(fetched)?, segment, system_id, PageTimeline::UpToNamed).is_some();
    let original = request.directory.pg_wal().join(segment.to_string());
    match std::fs::read(&original) {
        // The next checkpoint recycles it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(is_whole),
        Err(error) => Err(error),
        Ok(bytes) => Ok(is_whole && bytes == std::fs::read(fetched)?),
    }
}
