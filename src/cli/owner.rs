//! Whose cluster it is: a file of root's in the state directory would lock the server's own push out.

use crate::data_directory::DataDirectory;

/// What to say, where we are another user than the data directory's owner; `command` is what was meant.
pub(super) fn refusal(directory: &DataDirectory, command: &str) -> Option<String> {
    let owner = directory.foreign_owner()?;
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = name(&passwd, owner).unwrap_or_else(|| format!("'#{owner}'"));
    let path = directory.path().display();
    Some(format!("{path} belongs to another user, nothing was touched; to do: sudo -u {user} {command}"))
}

/// The user of this number in the text of `/etc/passwd`.
fn name(passwd: &str, uid: u32) -> Option<String> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2).and_then(|field| field.parse().ok()) == Some(uid))
        .find_map(|fields| Some((*fields.first()?).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_its_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(name(passwd, 101).as_deref(), Some("postgres"));
        assert_eq!(name(passwd, 102), None);
    }
}
