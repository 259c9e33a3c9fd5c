//! `make stores`: real stores of other people, over TLS or SSH, and what our programs make of each fault there.
//!
//! Azurite, fake-gcs-server, s3rver and OpenSSH's SFTP server. With each: a stanza, pushes, a full backup by the watcher, a
//! restore whose WAL guard-get fetches; then one fault after the other ([`faults`]), in each of which a segment is written, the
//! watcher polls once and status is asked. Afterwards everything must be in the store. The last lines are a table in
//! Markdown. Words on the command line choose stores (`azure`, `gcs`, `s3`, `sftp`), and a version of pgBackRest of those of
//! `make matrix` (2.60 unless said otherwise, as SFTP needs 2.46).

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod faults;
mod scene;
mod servers;
#[path = "../matrix/tools.rs"]
#[expect(dead_code, reason = "the matrix uses the rest")]
mod tools;
mod wire;

use faults::{Fault, faults};
use scene::{Scene, Seen};
use servers::Kind;
use std::path::{Path, PathBuf};
use tools::{BACKREST, Tools};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_asked = |word: &str| words.iter().any(|asked| asked == word);
    let backrest = BACKREST.iter().find(|each| is_asked(each.name)).or(BACKREST.last()).unwrap();
    let pgbackrest = Tools::new().backrest(backrest);
    let given = std::env::var_os("PGBACKREST_GUARD_TOOLS").map(PathBuf::from);
    let tools = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"));
    let any = Kind::ALL.iter().any(|kind| is_asked(kind.word()));
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for kind in Kind::ALL.into_iter().filter(|kind| !any || is_asked(kind.word())) {
        println!("== {}, pgBackRest {}", kind.program(), backrest.name);
        let mut scene = Scene::start(kind, &tools, &pgbackrest);
        scene.restore();
        println!("   stanza, push, full backup, restore: ok");
        rows.push(format!("| {} | none: stanza, push, full, restore | works | | | | present | ok |", kind.program()));
        for fault in faults(kind) {
            let seen = fault.meet(&mut scene);
            println!("   {}: {seen:?}", fault.name);
            wrong.extend(fault.differences(&seen).into_iter().map(|what| format!("{kind:?}, {}: {what}", fault.name)));
            rows.push(row(kind, &fault, &seen));
        }
        let left = scene.left_behind();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
    println!(
        "\n| store | fault | class | code | decision | to do | catalog | verdict |\n|---|---|---|---|---|---|---|---|"
    );
    println!("{}", rows.join("\n"));
    assert!(wrong.is_empty(), "not as it should be:\n{}", wrong.join("\n"));
}

fn row(kind: Kind, fault: &Fault, seen: &Seen) -> String {
    let Seen { class, code, decision, advice, catalog, verdict, .. } = seen;
    let code = if code.is_empty() { "" } else { &format!("`{code}`") };
    let (store, fault) = (kind.program(), fault.name);
    format!("| {store} | {fault} | `{class}` | {code} | {decision} | {advice} | {catalog} | {verdict} |")
}
