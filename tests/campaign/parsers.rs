//! Changed samples for everything that reads what others have written: no input may end a program, and what is said of one
//! must hold.
//!
//! Mutation without a look at the code's coverage, in a build that checks arithmetic. Bytes are flipped, cut, doubled, put in
//! from a dictionary and taken from another sample of the same reader.

use super::random::Random;
use pgbackrest_guard::decide::setup::{screen_bucket, screen_value};
use pgbackrest_guard::decide::walk;
use pgbackrest_guard::ledger::Ledger;
use pgbackrest_guard::ledger::state::State;
use pgbackrest_guard::pgbackrest::config::Config;
use pgbackrest_guard::pgbackrest::failure::codes::InstantDropCodes;
use pgbackrest_guard::pgbackrest::failure::redact::Redactor;
use pgbackrest_guard::pgbackrest::failure::response::exchanges;
use pgbackrest_guard::pgbackrest::info::Stanza;
use pgbackrest_guard::settings::{Mebibytes, RepositoryList, Seconds};
use pgbackrest_guard::wal::{LongPageHeader, Lsn, SegmentSize, WalFile, listed, parents, parse_history};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A secret that must not come through.
const SECRET: &str = "wJalrXUtnFEMI";
/// What is put in.
const WORDS: [&str; 24] = [
    "\0",
    "\n",
    "\r\n",
    "\u{feff}",
    "\u{2028}",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "=",
    "#",
    "-",
    "/",
    "18446744073709551615",
    "-1",
    "FFFFFFFF",
    "00000001000000000000000A",
    ".history",
    ".partial",
    "<Error><Code>",
    "</Code></Error>",
    "null",
    SECRET,
];

/// A reader: its name, its samples, and what is asked of it.
struct Reader {
    name: &'static str,
    samples: Vec<Vec<u8>>,
    read: fn(&[u8], &Path),
    /// One execution costs so many of another's.
    cost: u64,
}

/// Reads so many changed samples by each reader. How many executions there were.
pub(crate) fn read_changed(each: u64, seed: u64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut executions = 0;
    for reader in readers(folder.path()) {
        let mut random = Random::new(seed);
        let count = each / reader.cost;
        for _ in 0..count {
            let input = changed(&reader.samples, &mut random);
            (reader.read)(&input, folder.path());
        }
        eprintln!("{:<12} {count:>9} executions", reader.name);
        executions += count;
    }
    executions
}

fn changed(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let place = |random: &mut Random, length: usize| usize::try_from(random.below(length as u64 + 1)).unwrap_or(0);
    let choose = |random: &mut Random| {
        let at = place(random, samples.len() - 1);
        samples.get(at).cloned().unwrap_or_default()
    };
    let mut bytes = choose(random);
    for _ in 0..=random.below(4) {
        let (from, to) = (place(random, bytes.len()), place(random, bytes.len()));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 64));
        match random.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let part: Vec<u8> = bytes.get(from..to).unwrap_or_default().to_vec();
                drop(bytes.splice(from..from, part));
            }
            2 => drop(bytes.splice(from..from, random.pick(&WORDS).bytes())),
            3 => {
                let other = choose(random);
                let start = place(random, other.len());
                drop(bytes.splice(from..to, other.into_iter().skip(start).take(80)));
            }
            4 => bytes.truncate(to),
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte = u8::try_from(random.below(256)).unwrap_or(0);
                }
            }
        }
    }
    bytes
}

fn readers(folder: &Path) -> Vec<Reader> {
    let reader = |name, samples: &[&[u8]], read, cost| Reader {
        name,
        samples: samples.iter().map(|sample| sample.to_vec()).collect(),
        read,
        cost,
    };
    vec![
        reader("info", &[INFO.as_bytes(), b"[]", b"[{\"name\":\"main\"}]"], info, 2),
        reader("listing", &[LISTING.as_bytes()], listing, 2),
        reader("history", &[b"1\t0/3000000\tno recovery target specified\n\n2\t1/A0000000\tbefore\n"], history, 1),
        reader("page header", &[&page()], page_header, 1),
        reader("state", &[&serde_json::to_vec(&State::default()).unwrap_or_default(), STATE.as_bytes()], state, 2),
        Reader { name: "classifier", samples: real_failures(), read: classifier, cost: 10 },
        reader("redaction", &[REDACTED.as_bytes()], redaction, 2),
        reader("settings", &[b"500", b"0", b"1,2", b"NoSuchBucket,InvalidAccessKeyId", b"16/B374D848"], settings, 1),
        reader(
            "bucket",
            &[b"my-bucket.example", b"${{ secrets.X }}", b"0e7d1a2b-1111-2222-3333-444455556666"],
            bucket,
            1,
        ),
        reader("INI", &[b"[global]\nrepo1-path=/r # x\n\n[main:archive-push]\nspool-path = /s\n"], ini, 20),
        Reader { name: "ledger", samples: vec![ledger_of(folder)], read: ledger, cost: 2_000 },
    ]
}

const INFO: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000009","min":"000000010000000000000001"}],"backup":[{"archive":{"start":"000000010000000000000003","stop":"000000010000000000000003"},"database":{"id":1,"repo-key":1},"error":false,"label":"20261125-101500F","lsn":{"start":"0/3000028","stop":"0/3000100"},"prior":null,"reference":null,"timestamp":{"start":1764065700,"stop":1764065703},"type":"full"}],"db":[{"id":1,"repo-key":1,"system-id":7576512345678901234,"version":"15"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"message":"ok"}}]"#;
const LISTING: &str = "0000000100000000\n0000000100000000/000000010000000000000003-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst\n\
    00000002.history\n000000010000000000000003.00000028.backup\n000000010000000000000004.partial-7798b7d2af0a677f3636f4a578c6800df3ddd284\n";
const STATE: &str = r#"{"identity":{"system_id":7},"push":{"failed_count":3,"consecutive_failures":1,"dropped_count":2,"overflowed_count":0,"last_failure":null},"gaps":{"next_id":1,"gaps":[]}}"#;
const REDACTED: &str = "authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261125, Signature=abc wJalrXUtnFEMI --repo1-s3-key-secret=wJalrXUtnFEMI\n";

/// What a real pgBackRest has said of failures, by the laboratory.
fn real_failures() -> Vec<Vec<u8>> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/samples");
    let mut files: Vec<_> = fs::read_dir(samples).expect("samples").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().map(|path| fs::read(path).expect("a sample")).collect()
}

fn page() -> Vec<u8> {
    // XLP_PAGE_MAGIC of PostgreSQL 15, a long header, timeline 1, 0/3000000, a system identifier, sizes.
    let mut page = vec![0x10, 0xD1, 0x02, 0x00, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    page.extend(7_576_512_345_678_901_234_u64.to_ne_bytes());
    page.extend((16_u32 << 20).to_ne_bytes());
    page.extend(8192_u32.to_ne_bytes());
    page.resize(8192, 0);
    page
}

fn info(bytes: &[u8], _: &Path) {
    let Some(stanza) = Stanza::parse(bytes, "main") else { return };
    let system_id = 7_576_512_345_678_901_234;
    let _ = stanza.catalog(system_id, &[1, 2]);
    for key in [1, 2] {
        let _ = (
            stanza.must_list_from(system_id, key),
            stanza.walk_starts(system_id, key),
            stanza.lacks_a_full(system_id, key),
        );
    }
    let good = stanza.good_backups(system_id).all(|backup| backup.error != Some(true));
    assert!(good, "a damaged backup is never good");
}

fn listing(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    for file in text.lines().filter_map(listed) {
        assert_eq!(file.to_string().parse::<WalFile>().ok(), Some(file), "a name is what it says");
    }
    let _ = walk::listed(&text, 1, SegmentSize::DEFAULT);
}

fn history(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (parse_history(&text), parents(&text, 3));
}

fn page_header(bytes: &[u8], _: &Path) {
    let _ = LongPageHeader::parse(bytes);
}

fn state(bytes: &[u8], _: &Path) {
    let Ok(state) = serde_json::from_slice::<State>(bytes) else { return };
    let again = serde_json::to_vec(&state).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
    assert_eq!(again, Some(state), "what is written is what is read");
}

fn classifier(bytes: &[u8], _: &Path) {
    for exchange in exchanges(&String::from_utf8_lossy(bytes)) {
        let _ = exchange.class(&InstantDropCodes::none());
    }
}

fn redaction(bytes: &[u8], _: &Path) {
    let redacted = Redactor::new([SECRET.to_owned()]).redact(bytes);
    assert!(!redacted.as_str().contains(SECRET), "a secret comes through: {bytes:?}");
}

fn settings(bytes: &[u8], _: &Path) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(size) = text.parse::<Mebibytes>() {
        let _ = size.bytes();
    }
    if let Ok(seconds) = text.parse::<Seconds>() {
        let _ = seconds.duration();
    }
    let _ = (
        text.parse::<RepositoryList>(),
        text.parse::<InstantDropCodes>(),
        text.parse::<Lsn>(),
        text.parse::<WalFile>(),
    );
}

fn bucket(bytes: &[u8], _: &Path) {
    let value = OsStr::from_bytes(bytes);
    if screen_bucket(value, false).is_ok() {
        let legal = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte);
        assert!((3..=63).contains(&bytes.len()) && bytes.iter().all(legal), "{} is no legal name", value.display());
    }
    if screen_value(value).is_ok() {
        assert!(!bytes.iter().any(u8::is_ascii_control), "{} would put in an option", value.display());
    }
}

fn ini(bytes: &[u8], folder: &Path) {
    let path = folder.join("pgbackrest.conf");
    fs::write(&path, bytes).expect("a configuration");
    let environment = [(OsStr::new("PGBACKREST_CONFIG"), path.as_os_str())];
    if let Ok(config) = Config::load("main", environment.into_iter()) {
        assert!(!config.repositories().is_empty(), "a repository is always meant");
        let _ = (config.retention_of_wal(1), config.remote_repository(), config.secrets().count());
    }
}

fn ledger_of(folder: &Path) -> Vec<u8> {
    let made = folder.join("made");
    super::torn_ledger::open(&made);
    fs::read(made.join("ledger")).expect("a ledger")
}

fn ledger(bytes: &[u8], folder: &Path) {
    fs::write(folder.join("ledger"), bytes).expect("a ledger");
    let _ = Ledger::peek(folder);
}
