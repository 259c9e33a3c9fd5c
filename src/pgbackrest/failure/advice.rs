//! What a person can do where the class alone does not tell.

use std::fmt;

/// A remedy that is truer than that of the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The store has no room for more.
    Quota,
    /// The store limits how often it is asked.
    Rate,
    /// Another region or endpoint has the bucket.
    Place,
    /// The bucket or container is not there.
    Bucket,
    /// What answers is no object store.
    Stranger,
    /// An info file came without any content.
    Empty,
    /// Google takes the service account's key no longer.
    Grant,
    /// SSH or SFTP: host key or login refused.
    Login,
    /// This pgBackRest does not know this PostgreSQL.
    Version,
    /// The repository host failed.
    RepositoryHost,
    /// The command belongs to another machine.
    Host,
    /// pgBackRest can't do that.
    Feature,
    /// A folder is not there.
    Folder,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quota => "make room in the store: raise its quota, or lower the retention and run pgbackrest expire",
            Self::Rate => "nothing, if it passes; otherwise raise the store's request limit, or lower process-max",
            Self::Place => "correct bucket, region and endpoint in pgBackRest's configuration",
            Self::Bucket => {
                "recreate the bucket or container, or correct its name; with its code in WAL_INSTANT_DROP_CODES, \
                 segments are dropped at once"
            }
            Self::Stranger => "find out who answers under the store's name: a proxy or a captive portal",
            Self::Empty => {
                "find out who answers with nothing under the store's name, and whether archive.info in the store is \
                 empty"
            }
            Self::Grant => "create a new key for the service account; check this machine's clock",
            Self::Login => "check the host key, and that the other machine accepts the login's key",
            Self::Version => "install a pgBackRest that knows this version of PostgreSQL",
            Self::RepositoryHost => {
                "look at the repository host, its space, permissions and log: that is the machine that failed"
            }
            Self::Host => "check pg1-host and repo1-host: this command belongs on another machine",
            Self::Feature => "read pgBackRest's message: it can't do what its configuration asks for",
            Self::Folder => "create the folder that the message names, or mount what belongs there",
        })
    }
}
