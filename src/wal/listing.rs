//! A line of an archive's listing: which WAL file it shows to be stored, if any.
//!
//! pgBackRest stores a segment as `<name>-<SHA-1>[.compression]`, where the compression is one of `.gz`, `.bz2`, `.lz4` and
//! `.zst` (`src/command/archive/push/file.c` and `src/common/compress/helper.c`, 2.45 to 2.60), and a history or backup
//! history under its own name. While it writes one to a file system, the same name ends in `.pgbackrest.tmp`
//! (`src/storage/posix/write.c`): a push that is killed leaves that behind, and nothing can be restored from it. So a name
//! counts only as a whole.

use super::WalFile;

/// Hexadecimal digits of a SHA-1.
const CHECKSUM_DIGITS: usize = 40;
/// What may follow the checksum.
const COMPRESSIONS: [&str; 5] = ["", ".gz", ".bz2", ".lz4", ".zst"];

/// The WAL file that a line of `repo-ls` shows: `[folder/]<name>`. `None`: it shows none that can be restored.
#[must_use]
pub fn listed(line: &str) -> Option<WalFile> {
    let name = line.rsplit('/').next().unwrap_or(line);
    match name.split_once('-') {
        Some((name, rest)) => {
            let file = name.parse().ok().filter(|file: &WalFile| file.losable().is_some())?;
            is_whole(rest).then_some(file)
        }
        None => name.parse().ok().filter(|file: &WalFile| file.losable().is_none()),
    }
}

/// Whether a checksum, and at most a compression, is all that follows the name.
fn is_whole(rest: &str) -> bool {
    let (Some(checksum), Some(compression)) = (rest.get(..CHECKSUM_DIGITS), rest.get(CHECKSUM_DIGITS..)) else {
        return false;
    };
    checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) && COMPRESSIONS.contains(&compression)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "7798b7d2af0a677f3636f4a578c6800df3ddd284";

    fn shown(line: &str) -> Option<String> {
        listed(line).map(|file| file.to_string())
    }

    #[test]
    fn a_stored_file_is_shown_by_its_whole_name() {
        for name in ["000000010000000000000003", "000000010000000000000003.partial"] {
            for compression in COMPRESSIONS {
                let line = format!("0000000100000000/{name}-{SHA}{compression}");
                assert_eq!(shown(&line).as_deref(), Some(name), "{line}");
            }
        }
        for name in ["00000002.history", "000000010000000000000003.00000028.backup"] {
            assert_eq!(shown(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_a_killed_push_leaves_is_not_stored() {
        let name = "000000010000000000000003";
        for other in [
            format!("{name}-{SHA}.gz.pgbackrest.tmp"),
            format!("{name}-{SHA}.pgbackrest.tmp"),
            format!("{name}-{}", SHA.trim_start_matches('7')),
            format!("{name}-{SHA}0"),
            format!("{name}-"),
            name.to_owned(),
            "00000002.history.pgbackrest.tmp".to_owned(),
            "0000000100000000".to_owned(),
            "x-y".to_owned(),
        ] {
            assert_eq!(shown(&other), None, "{other}");
        }
    }
}
