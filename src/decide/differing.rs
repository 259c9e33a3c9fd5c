//! What `status` says of segments whose names are in an archive with other content, and what to do.

/// The reason; `None` where there are none. `differing`: how many there are, and the first one's name.
#[must_use]
pub fn reason((segments, first): &(u64, Option<String>)) -> Option<String> {
    let first = first.as_deref().unwrap_or("unknown");
    let which = match segments {
        0 => return None,
        1 => format!("1 WAL segment, {first}, is"),
        more => format!("{more} WAL segments, the first is {first}, are"),
    };
    Some(format!(
        "{which} in the archive with other content, and no restore can get past that: find out who else archives to \
         this stanza, then remove the wrong file from the repository's storage (watch's log has its path); watch \
         pushes the right one if it still exists, otherwise a later backup is needed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_segment_and_what_to_do() {
        assert_eq!(reason(&(0, None)), None);
        let one = reason(&(1, Some("000000010000000000000007".to_owned()))).unwrap();
        assert!(
            one.starts_with("1 WAL segment, 000000010000000000000007, is in the archive with other content"),
            "{one}"
        );
        let more = reason(&(3, None)).unwrap();
        assert!(
            more.starts_with("3 WAL segments, the first is unknown, are in") && more.contains("remove the wrong"),
            "{more}"
        );
    }
}
