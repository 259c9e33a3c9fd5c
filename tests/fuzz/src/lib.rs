//! `make fuzz`: each reader of what others have written, under libFuzzer, which looks at the code's coverage.
//!
//! What is read and what must hold of it is in [`readers`], which `make campaign` and `make test` use too; a file in `targets/`
//! makes a program of each. `seeds/` holds what a target begins with.

pub mod readers;

pub use libfuzzer_sys;

/// The reader of a name.
///
/// # Panics
/// When there is none of that name.
#[must_use]
pub fn reader(name: &str) -> fn(&[u8]) {
    let found = readers::READERS.iter().find(|reader| reader.name == name);
    found.unwrap_or_else(|| panic!("there is no reader {name}")).read
}

/// The program of a reader.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        static READ: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(|| $crate::reader($name));

        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| (*READ)(input));
    };
}
