//! As whom the server is asked, where nothing says it to us directly.
//!
//! The official image makes its superuser by `POSTGRES_USER` or `POSTGRES_USER_FILE` and keeps both in the environment of
//! everything that a container starts, `docker exec` included; a role `postgres` need not exist there.

use super::{Environment, Sources, table};
use std::fs;

/// The role that is there unless somebody chose another.
pub const USUAL_ROLE: &str = "postgres";

/// The superuser that the official image has made, where the environment names one.
#[must_use]
pub fn superuser_of_image(environment: &Environment) -> Option<String> {
    let named = environment.get("POSTGRES_USER").and_then(|name| name.to_str()).map(str::to_owned);
    named.or_else(|| {
        let text = fs::read_to_string(environment.path("POSTGRES_USER_FILE")?).ok()?;
        // As the image's entrypoint reads it: a shell's `$(<file)` cuts the newlines at the end.
        Some(text.trim_end_matches('\n').to_owned()).filter(|name| !name.is_empty())
    })
}

/// The role that the guard connects as; `None` where it is the usual one.
pub(super) fn own(sources: &mut Sources) -> Option<String> {
    let named = sources.optional(&table::PGUSER, None).map(|setting| setting.value);
    named.or_else(|| superuser_of_image(sources.environment()))
}

/// The roles that a restored copy may know, the likeliest first. `configured`: pgBackRest's `pg1-user`.
#[must_use]
pub fn likely(environment: &Environment, configured: Option<&str>) -> Vec<String> {
    let named = environment.get("PGUSER").and_then(|name| name.to_str()).map(str::to_owned);
    let configured = configured.map(str::to_owned);
    let usual = Some(USUAL_ROLE.to_owned());
    [named, configured, superuser_of_image(environment), usual].into_iter().flatten().collect()
}

/// As whom pgBackRest must be told to connect, where its configuration does not say it: libpq takes the user's name for the
/// role's, and a user without a name (`docker run --user 1000`) becomes the role `1000`. `None`: libpq's way will do.
#[must_use]
pub fn for_pgbackrest(environment: &Environment, uid: u32) -> Option<String> {
    let image = superuser_of_image(environment);
    image.or_else(|| {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let named = |line: &str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(uid);
        let role = environment.get("PGUSER").and_then(|name| name.to_str()).unwrap_or(USUAL_ROLE);
        (!users.lines().any(named)).then(|| role.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user that no machine of ours has.
    const NOBODY_KNOWN: u32 = 1_234_567;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fn the_images_superuser_is_read_as_its_entrypoint_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "alice\n\n").unwrap();
        let path = file.path().to_str().unwrap();
        let image = |pairs: &[(&str, &str)]| superuser_of_image(&pairs.iter().copied().collect());
        assert_eq!(image(&[("POSTGRES_USER", "app")]).as_deref(), Some("app"));
        assert_eq!(image(&[("POSTGRES_USER_FILE", path)]).as_deref(), Some("alice"));
        assert_eq!(image(&[("POSTGRES_USER", ""), ("POSTGRES_USER_FILE", "/nowhere")]), None);
    }

    #[test]
    fn pgbackrest_is_given_a_role_only_where_libpq_would_take_a_wrong_one() {
        let role = |pairs: &[(&str, &str)], uid| for_pgbackrest(&pairs.iter().copied().collect(), uid);
        assert_eq!(role(&[("POSTGRES_USER", "app"), ("PGUSER", "me")], 0).as_deref(), Some("app"));
        assert_eq!(role(&[("PGUSER", "me")], 0), None, "root has a name");
        assert_eq!(role(&[], NOBODY_KNOWN).as_deref(), Some("postgres"));
        assert_eq!(role(&[("PGUSER", "me")], NOBODY_KNOWN).as_deref(), Some("me"));
    }
}
