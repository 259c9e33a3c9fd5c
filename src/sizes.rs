//! Sizes in words.

const MIB: u64 = 1 << 20;
/// From so many MiB on, GiB are easier to read; from so many on, TiB.
const LONG: u64 = 10 << 10;
const LONGER: u64 = 10 << 20;

/// Bytes as a person reads them: MiB, bytes where that would be none, GiB and TiB where it would be long.
#[must_use]
pub fn shown(bytes: u64) -> String {
    if bytes > 0 && bytes < MIB {
        return format!("{bytes} B");
    }
    let (unit, name) = match bytes / MIB {
        0..LONG => return format!("{} MiB", bytes / MIB),
        LONG..LONGER => (MIB << 10, "GiB"),
        LONGER.. => (MIB << 20, "TiB"),
    };
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
    if whole < 100 && tenth > 0 { format!("{whole}.{tenth} {name}") } else { format!("{whole} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let table = [
            (0, "0 MiB"),
            (1, "1 B"),
            (MIB - 1, "1048575 B"),
            (500 * MIB, "500 MiB"),
            (10_239 * MIB, "10239 MiB"),
            (10_240 * MIB, "10 GiB"),
            (81_000 * MIB, "79.1 GiB"),
            (204_900 * MIB, "200 GiB"),
            (LONGER * MIB, "10 TiB"),
            (u64::MAX, "16777215 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(shown(bytes), text);
        }
    }
}
