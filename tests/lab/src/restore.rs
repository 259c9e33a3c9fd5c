//! Restoring a cluster by pgBackRest, to a data directory of its own.

use crate::{Cluster, ClusterBuilder, PgBackRest};

impl PgBackRest {
    /// Restores into the cluster to be, with more options such as `--type=time`, `--type=standby` or
    /// `--recovery-option=restore_command=…`. The cluster is not started.
    ///
    /// The origin's configuration comes along, with its `archive_command`: say `no_archiving` or
    /// another command unless the restored cluster is to archive as its origin. With
    /// `archive-async` a restore also removes the stanza's spool (restore.c), so while the origin
    /// archives use a configuration of its own name.
    #[track_caller]
    pub fn restore(&self, copy: ClusterBuilder, options: &[&str]) -> Cluster {
        self.try_restore(copy, options).unwrap_or_else(|said| panic!("pgbackrest restore failed:\n{said}"))
    }

    /// As [`PgBackRest::restore`].
    ///
    /// # Errors
    /// What pgBackRest wrote, when it failed.
    pub fn try_restore(&self, copy: ClusterBuilder, options: &[&str]) -> Result<Cluster, String> {
        let pgdata = copy.empty_folder();
        let path = format!("--pg1-path={}", pgdata.display());
        let mut arguments = vec![path.as_str()];
        arguments.extend(options);
        arguments.push("restore");
        let output = self.run(&arguments);
        if !output.status.success() {
            return Err(output.stderr);
        }
        Ok(copy.adopt())
    }
}
