//! What was measured, a line as it comes and a table at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// One line.
struct Row {
    what: String,
    figures: String,
    failed: bool,
}

/// All lines so far.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    wanted: Vec<String>,
}

impl Table {
    /// Of the scenarios whose names contain one of these words; of all where there is none.
    pub(crate) fn of(wanted: Vec<String>) -> Self {
        Self { rows: Vec::new(), wanted }
    }

    /// Whether a scenario is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|word| name.contains(word))
    }

    /// Notes a figure.
    pub(crate) fn measured(&mut self, what: &str, figures: String) {
        println!("  ok     {what}: {figures}");
        self.rows.push(Row { what: what.to_owned(), figures, failed: false });
    }

    /// Notes what does not hold.
    pub(crate) fn failed(&mut self, what: &str, why: &str) {
        let first = why.lines().next().unwrap_or_default();
        println!("  FAILED {what}: {why}");
        self.rows.push(Row { what: what.to_owned(), figures: format!("FAILED: {first}"), failed: true });
    }

    /// Runs a scenario; one that panics is a line of the table, and the next one begins with a cluster of its own.
    pub(crate) fn scenario(&mut self, name: &str, run: impl FnOnce(&mut Self)) {
        if !self.wants(name) {
            return;
        }
        println!("{name}");
        let begin = std::time::Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(self))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            self.failed(name, &text.unwrap_or_default());
        }
        println!("         {:.0} s", begin.elapsed().as_secs_f64());
    }

    /// Prints all of it; whether everything holds.
    pub(crate) fn print(&self, versions: &str) -> bool {
        println!("\n{versions}\n\n| scenario | measured |\n|---|---|");
        for row in &self.rows {
            println!("| {} | {} |", row.what, row.figures);
        }
        !self.rows.iter().any(|row| row.failed)
    }
}
