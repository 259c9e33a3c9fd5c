//! The faults, and what is expected in each.

use crate::scene::{Scene, Seen};
use crate::servers::{Kind, Store};
use crate::wire::answer;
use pgbackrest_guard_lab::Way;

/// What a proxy shows, with the words of a store in it.
const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Blocked</title></head><body><h1>Blocked</h1>\
                    <p>&lt;Error&gt;<Error><Code>NoSuchBucket</Code></Error></p></body></html>\n";

/// One thing that goes wrong, until it is right again.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    what: What,
    /// Variables of `archive_command`.
    variables: &'static [(&'static str, &'static str)],
    class: &'static str,
    /// Part of the advice.
    advice: &'static str,
}

enum What {
    Way(Way),
    /// Another value of an option of repository 1.
    Option(&'static str, &'static str),
    Frozen,
    Down,
    Login,
    HostKey,
    Deleted,
}

const CODES: &[(&str, &str)] = &[("WAL_INSTANT_DROP_CODES", "NoSuchBucket,ContainerNotFound")];

/// All faults of a kind of store. The deleted bucket comes last: nothing comes back from it.
pub(crate) fn faults(kind: Kind) -> Vec<Fault> {
    let fault = |name, what, class, advice| Fault { name, what, variables: &[], class, advice };
    let mut faults = Vec::new();
    if kind == Kind::Sftp {
        faults.push(fault("refused", What::Down, "unavailable", "if the store comes back"));
        faults.push(fault("frozen", What::Frozen, "unavailable", "if the store comes back"));
        faults.push(fault("login refused", What::Login, "denied", "host key"));
        faults.push(fault("host key changed", What::HostKey, "denied", "host key"));
    } else {
        let html = |status| What::Way(Way::Answer(answer(status, "text/html", PAGE)));
        let empty = |status| What::Way(Way::Answer(answer(status, "text/plain", "")));
        faults.push(fault("refused", What::Way(Way::Refused), "unavailable", "if the store comes back"));
        faults.push(fault("frozen", What::Way(Way::Silent), "unavailable", "if the store comes back"));
        faults.push(fault("503, empty", empty("503 Service Unavailable"), "unavailable", "if the store comes back"));
        faults.push(fault("429, empty", empty("429 Too Many Requests"), "unavailable", ""));
        faults.push(fault("502, a proxy's page", html("502 Bad Gateway"), "unavailable", "if the store comes back"));
        faults.push(fault("403, a proxy's page", html("403 Forbidden"), "denied", "captive portal"));
        faults.push(fault("200, a captive portal's page", html("200 OK"), "unavailable", "captive portal"));
        faults.push(fault("200, empty", empty("200 OK"), "unavailable", "answers with nothing"));
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: https://login.example/\r\ncontent-length: 0\r\n\
                         connection: close\r\n\r\n";
        let elsewhere = What::Way(Way::Answer(elsewhere.to_owned()));
        faults.push(fault("302 to a login page", elsewhere, "unavailable", "captive portal"));
    }
    faults.extend(keys(kind));
    let (class, advice) = match kind {
        Kind::S3 => ("gone", "recreate the bucket"),
        Kind::Sftp => ("stanza-missing", "stanza-create"),
        Kind::Azure | Kind::Google => ("unknown", "recreate the bucket or container"),
    };
    faults.push(fault("bucket or folder deleted", What::Deleted, class, advice));
    // Google says `notFound`; fake-gcs-server says `Not Found`, which is no code.
    if kind == Kind::Azure {
        let listed = fault("deleted, its code listed", What::Deleted, "gone", "recreate the bucket");
        faults.push(Fault { variables: CODES, ..listed });
    }
    faults
}

fn keys(kind: Kind) -> Vec<Fault> {
    let fault = |name, what, class, advice| Fault { name, what, variables: &[], class, advice };
    match kind {
        Kind::Azure => vec![fault("wrong key", What::Option("azure-key", Store::OTHER_AZURE_KEY), "denied", "rights")],
        // s3rver takes any secret.
        Kind::S3 => vec![fault("unknown key", What::Option("s3-key", "AKIANOBODY"), "gone", "valid access key")],
        Kind::Google => {
            let refusal = "{\"error\": \"invalid_grant\", \"error_description\": \"Invalid JWT Signature.\"}";
            let refusal = answer("400 Bad Request", "application/json", refusal);
            let way = Way::AnswerTo("/token".to_owned(), refusal);
            vec![fault("service account's key revoked", What::Way(way), "denied", "service account")]
        }
        Kind::Sftp => Vec::new(),
    }
}

impl Fault {
    /// Lets it happen, sees what is made of it, and has it be right again.
    pub(crate) fn meet(&self, scene: &mut Scene) -> Seen {
        let mut before = None;
        match &self.what {
            What::Way(way) => scene.store.set(way.clone()),
            What::Option(key, value) => before = Some(scene.reconfigure(key, value)),
            What::Frozen => scene.store.ssh().freeze(),
            What::Down => scene.store.ssh().end(),
            What::Login => scene.store.ssh().refuse_login(true),
            What::HostKey => scene.store.ssh().change_key(true),
            What::Deleted => {
                if scene.store.has_place() {
                    scene.everything_is_stored();
                    scene.store.delete_place();
                }
                return scene.meet(self.variables);
            }
        }
        let seen = scene.meet(self.variables);
        match &self.what {
            What::Way(_) => scene.store.open(),
            What::Option(..) => scene.configure(&before.unwrap_or_default()),
            What::Frozen => scene.store.ssh().thaw(),
            What::Down => scene.store.ssh().resume(),
            What::Login => scene.store.ssh().refuse_login(false),
            What::HostKey => scene.store.ssh().change_key(false),
            What::Deleted => {}
        }
        scene.recovers();
        seen
    }

    /// What is not as expected. A fault never makes the catalog conclusive.
    pub(crate) fn differences(&self, seen: &Seen) -> Vec<String> {
        let mut differences = Vec::new();
        let mut wants = |is_so: bool, what: String| differences.extend((!is_so).then_some(what));
        wants(seen.class == self.class, format!("class {} instead of {}: {}", seen.class, self.class, seen.message));
        wants(seen.advice.contains(self.advice), format!("advice {:?} without {:?}", seen.advice, self.advice));
        let decision = if self.class == "gone" { "dropped" } else { "kept" };
        wants(seen.decision.starts_with(decision), format!("{} instead of {decision}", seen.decision));
        wants(seen.catalog == "inconclusive", format!("the catalog is {}", seen.catalog));
        differences
    }
}
