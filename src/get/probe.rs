//! A deleted bucket told from a missing stanza, before anybody is advised.
//!
//! When `archive.info` can't be found pgBackRest reports the same for both. The first request of `pgbackrest info` is a
//! listing, whose answer shows `NoSuchBucket` (src/command/info/info.c, 2.45 to 2.60).

use super::attempt::Context;
use crate::classify::codes::InstantDropCodes;
use crate::classify::{Class, Failure, of_spool};
use crate::pgbackrest::info;
use crate::pgbackrest::run::Ending;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// What `info` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Corrects the class of each repository that seems to lack its stanza and in truth is gone.
pub(super) fn ask(context: &Context, failure: &mut Failure) {
    if !failure.repositories.iter().any(|failed| failed.class == Class::StanzaMissing) {
        return;
    }
    let repository = context.repository_argument();
    let arguments = repository.iter().map(OsString::as_os_str);
    let arguments = arguments.chain(["info", "--output=json"].map(OsStr::new));
    let ended = context.call(context.session.caller.command(arguments), LIMIT);
    let Ending::Exited(0) = ended.ending else { return };
    let answer = info::repositories(&ended.stdout, &context.request.common.stanza.value).unwrap_or_default();
    let gone = |repository: &info::Repository| {
        let failure = of_spool(39, &repository.status.message, &InstantDropCodes::default());
        let code = failure.s3_code().filter(|_| failure.class() == Class::Gone)?;
        Some((repository.key, code.to_owned()))
    };
    let gone: Vec<(u32, String)> = answer.iter().filter_map(gone).collect();
    for failed in failure.repositories.iter_mut().filter(|failed| failed.class == Class::StanzaMissing) {
        let code = gone.iter().find(|(key, _)| failed.repository.is_none_or(|failed| failed == *key));
        if let Some((_, code)) = code.filter(|_| failed.repository.is_some() || gone.len() == answer.len()) {
            failed.class = Class::Gone;
            failed.s3_code = Some(code.clone());
        }
    }
}
