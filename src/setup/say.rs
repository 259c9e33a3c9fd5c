//! What setup says: one line about what it found, one about what came of it, and what would win over its work.

use super::place::Place;
use super::server_config::{self, ServerConfig};
use super::{Archiving, REASON_VARIABLE, Request};
use crate::decide::repository_path::RepositoryPath;
use crate::decide::setup::Reason;
use crate::pgbackrest::failure::redact::Redactor;
use std::ffi::OsString;

/// Characters of a refused value that are shown.
const LONGEST_SHOWN: usize = 100;

/// What the settings ask for, where that needs a person or a word.
pub(super) fn verdict(request: &Request, archiving: &Archiving) {
    match archiving {
        Archiving::Invalid { variable: REASON_VARIABLE, reason } => {
            tracing::error!("the bucket was refused before initdb ({reason}): archiving is off");
        }
        Archiving::Invalid { variable, reason } => tracing::error!(
            "{variable}{} is refused ({reason}): {}. Archiving is switched off until it is corrected and setup runs \
             again",
            shown(request, variable),
            meaning(*reason, *variable == "WAL_ARCHIVE_BUCKET")
        ),
        Archiving::On | Archiving::SwitchedOff | Archiving::Unset => {}
    }
}

fn meaning(reason: Reason, is_bucket: bool) -> &'static str {
    match reason {
        Reason::UnresolvedTemplateRef => "it contains an unresolved template",
        Reason::Whitespace if is_bucket => "it contains white space",
        Reason::Whitespace => "it begins or ends with white space",
        Reason::ControlCharacter => "it contains a control character",
        Reason::UuidShape => {
            "it looks like an id, not like a bucket's name (if it is the name, set WAL_ARCHIVE_BUCKET_ALLOW_UUID=1)"
        }
        Reason::BadName if is_bucket => {
            "no bucket can have that name (3 to 63 of a-z, 0-9, dots and hyphens, a letter or digit at both ends)"
        }
        Reason::BadName => "pgBackRest does not accept such a text",
    }
}

/// `='value'`, of a variable that holds no secret, without secrets that got there by mistake.
fn shown(request: &Request, variable: &str) -> String {
    let setup = &request.setup;
    let value = match variable {
        "WAL_ARCHIVE_BUCKET" => setup.bucket.as_ref(),
        "WAL_ARCHIVE_REGION" => setup.region.as_ref(),
        "WAL_ARCHIVE_PATH" => setup.path.as_ref(),
        "WAL_ARCHIVE_S3_URI_STYLE" => setup.uri_style.as_ref(),
        // A store's address may hold a password.
        _ => None,
    };
    let secrets: Vec<String> = [&setup.key.value, &setup.secret.value].into_iter().flatten().map(text).collect();
    value.map_or_else(String::new, |value| {
        let escaped: String = text(value).escape_debug().take(LONGEST_SHOWN).collect();
        format!("='{}'", Redactor::new(secrets).redact(escaped.as_bytes()))
    })
}

fn text(value: &OsString) -> String {
    value.to_string_lossy().into_owned()
}

/// What is not said, and what is taken instead.
pub(super) fn hints(request: &Request) {
    let setup = &request.setup;
    let unset = |name: &str| request.environment.get(name).is_none();
    if setup.endpoint.is_none() && unset("PGBACKREST_REPO1_S3_ENDPOINT") {
        tracing::warn!("WAL_ARCHIVE_ENDPOINT is not set: Amazon's S3 is used");
    }
    let elsewhere = !unset("PGBACKREST_REPO1_S3_KEY") || !unset("PGBACKREST_REPO1_S3_KEY_TYPE");
    if !setup.key.is_named() && !setup.secret.is_named() && !elsewhere {
        tracing::warn!(
            "WAL_ARCHIVE_KEY and WAL_ARCHIVE_SECRET are not set: pgBackRest asks for the machine's own role"
        );
    }
}

/// Which path in the repository is the cluster's, where that is new.
pub(super) fn repository_path(path: Option<&RepositoryPath>) {
    match path {
        Some(RepositoryPath::Replaced { path, old }) => tracing::warn!(
            "the recorded repository path {old} belongs to another cluster, as after pg_upgrade or a new initdb: this \
             cluster uses {path}. \
             What was archived under the old path stays there"
        ),
        Some(RepositoryPath::Adopted(path)) => tracing::info!("the repository path of this cluster is {path}"),
        Some(RepositoryPath::Kept(_)) | None => {}
    }
}

/// What came of it.
pub(super) fn outcome(request: &Request, archiving: &Archiving, place: &Place, made: usize) {
    match archiving {
        Archiving::On if !place.initialised && place.holds_pgbackrest_conf() => tracing::info!(
            "{} holds no cluster yet, but contains {}: nothing is made before initdb",
            place.data.path().display(),
            place.pgbackrest_conf.display()
        ),
        Archiving::On if !place.initialised => tracing::info!(
            "{} holds no cluster yet: pgBackRest is configured, the rest follows in the initdb hook or at the next \
             start",
            place.data.path().display()
        ),
        Archiving::On => switched_on(request, place, made),
        Archiving::SwitchedOff if made > 0 => {
            tracing::info!("archiving is switched off from the server's next start on");
        }
        Archiving::SwitchedOff => tracing::info!("archiving is already switched off: nothing changed"),
        Archiving::Unset => tracing::info!("WAL_ARCHIVE_BUCKET is not set: pgBackRest's own configuration decides"),
        Archiving::Invalid { .. } => {}
    }
}

fn switched_on(request: &Request, place: &Place, made: usize) {
    let several = place.repositories(request);
    if several > 1 {
        let file = place.pgbackrest_conf.display();
        tracing::info!("pgBackRest's configuration names {several} repositories: {file} is left as it is");
    }
    if made == 0 {
        tracing::info!("archiving is already configured: nothing changed");
    } else {
        tracing::info!("archiving is configured; it takes effect at the server's next start");
    }
    let Some(main) = server_config::locate(place.data.path(), place.owner) else { return };
    let server = ServerConfig::read(&main, place.data.path());
    let own = place.server_conf();
    for name in ["archive_mode", "archive_command"] {
        if let Some((_, file)) = server.get(name).filter(|(_, file)| !server_config::is_same(file, &own)) {
            tracing::warn!("{name} in {} overrides {}: remove it there", file.display(), own.display());
        }
    }
}
