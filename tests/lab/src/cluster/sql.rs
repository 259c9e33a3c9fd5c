//! Statements through psql, and the settings that they change.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use super::Cluster;
use super::process::postgres_program;

impl Cluster {
    /// Runs statements, each in its own transaction, as the superuser; returns their rows without decoration.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}\n{error}\n{}", self.log_tail()))
    }

    /// As [`Cluster::sql`].
    ///
    /// # Errors
    /// What psql wrote to stderr, when a statement failed or the server could not be reached.
    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        let mut psql = self.lab.command(postgres_program("psql"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d"]).arg(self.conninfo());
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().unwrap();
        // psql that cannot connect reads nothing; its own message tells more than a broken pipe.
        child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Changes a setting by ALTER SYSTEM and reloads the configuration.
    pub fn reload_with(&self, name: &str, value: &str) {
        let value = value.replace('\'', "''");
        self.sql(&format!("ALTER SYSTEM SET {name} = '{value}'; SELECT pg_reload_conf();"));
    }

    /// Promotes a standby and waits until it takes writes; panics after 60 seconds.
    pub fn promote(&self) {
        self.sql("SELECT pg_promote(wait => false)");
        self.wait_until("promotion", Duration::from_mins(1), || self.sql("SELECT pg_is_in_recovery()") == "f");
    }

    /// The cluster's system identifier.
    pub fn system_identifier(&self) -> u64 {
        self.sql("SELECT system_identifier FROM pg_control_system()").parse().unwrap()
    }
}
