//! The two sides of a push that some repositories failed.

/// Who has a file, and who lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) has: Vec<u32>,
    pub(super) lacking: Vec<u32>,
}

impl Split {
    /// `None` where none fails of all, or none is left.
    pub(super) fn of(all: &[u32], lacking: &[u32]) -> Option<Self> {
        let (lacking, has): (Vec<u32>, Vec<u32>) = all.iter().partition(|key| lacking.contains(key));
        (!lacking.is_empty() && !has.is_empty()).then_some(Self { has, lacking })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_has_two_sides() {
        let of = |lacking: &[u32]| Split::of(&[1, 2, 3], lacking).map(|split| (split.has, split.lacking));
        assert_eq!(of(&[3, 2]), Some((vec![1], vec![2, 3])));
        assert_eq!((of(&[]), of(&[1, 2, 3]), of(&[9])), (None, None, None));
    }
}
