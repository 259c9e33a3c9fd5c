//! What becomes of a report: its form, the file it goes to, a list or a screen that is drawn again.

use crate::durable;
use crate::exit::Exit;
use crate::ledger::gaps::Reason;
use crate::log;
use crate::settings::CommonSettings;
use crate::signals::Signals;
use crate::status::{self, Report};
use clap::{Args, ValueEnum};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// The flags that say what becomes of the report.
#[derive(Debug, Args)]
pub(super) struct FormArguments {
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
    /// Write the report to FILE, whole or not at all, instead of printing it
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    to: Option<PathBuf>,
    /// List every gap instead: files, times, cause, how it was closed (as text or json)
    #[arg(long)]
    gaps: bool,
    /// Refresh the report every 2 s until interrupted
    #[arg(long)]
    watch: bool,
    /// Collect what a problem report needs instead: versions, settings, status and log lines, without keys or passwords
    #[arg(long, conflicts_with_all = ["gaps", "watch", "to", "output", "acknowledge"])]
    report: bool,
    /// Acknowledge an open gap that will not be closed: it stays listed, but no longer counts in the verdict
    #[arg(long, value_name = "ID", requires = "reason", conflicts_with_all = ["gaps", "watch", "to", "output"])]
    acknowledge: Option<u64>,
    /// Why it will not be closed; one line
    #[arg(long, value_name = "TEXT", requires = "acknowledge")]
    reason: Option<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// One object, for programs
    Json,
    /// One line and an exit code of 0 to 3, for Nagios and Icinga
    Nagios,
    /// Metrics, for Prometheus
    Prometheus,
    /// One page, for a ticket or an audit
    Html,
}

/// What is to be done with reports.
#[derive(Debug)]
pub(super) enum Task {
    /// Show one.
    Show(Form, Option<PathBuf>),
    /// Show one after the other.
    Watch(Form),
    /// Collect what a problem report needs.
    Collect,
    /// Acknowledge a gap.
    Acknowledge(u64, Reason),
}

/// A form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The whole report.
    Whole(Output),
    /// The gaps, as text.
    GapsText,
    /// The gaps, as JSON.
    GapsJson,
}

impl FormArguments {
    /// What they mean together.
    pub(super) fn into_task(self) -> Result<Task, String> {
        if let (Some(id), Some(reason)) = (self.acknowledge, self.reason) {
            return Ok(Task::Acknowledge(id, reason));
        }
        if self.report {
            return Ok(Task::Collect);
        }
        let form = match (self.gaps, self.output) {
            (false, output) => Form::Whole(output),
            (true, Output::Text) => Form::GapsText,
            (true, Output::Json) => Form::GapsJson,
            (true, _) => return Err("--gaps goes with --output=text or json".to_owned()),
        };
        match (self.watch, form) {
            (false, form) => Ok(Task::Show(form, self.to)),
            (true, Form::Whole(Output::Text) | Form::GapsText) => Ok(Task::Watch(form)),
            (true, _) => Err("--watch goes with --output=text".to_owned()),
        }
    }
}

/// Prints one report, or writes it to a file.
pub(super) fn show(report: &Report, form: Form, to: Option<PathBuf>, text: impl Fn(&Report) -> String) -> Exit {
    let shown = match shown(report, form, text) {
        Ok(shown) => shown,
        Err(error) => {
            tracing::error!("can't write the report: {error}");
            return Exit::Failed;
        }
    };
    if let Some(path) = to {
        if let Err(error) = durable::publish_durably(&path, shown.as_bytes()) {
            tracing::error!("can't write the report to {}: {error}; what was there is left as it was", path.display());
            return Exit::Failed;
        }
    } else {
        // A reader that has gone away has read enough.
        let _ = io::stdout().write_all(shown.as_bytes());
    }
    match form {
        Form::Whole(Output::Nagios) => Exit::Nagios(report.verdict),
        Form::Whole(_) | Form::GapsText | Form::GapsJson => Exit::Success,
    }
}

fn shown(report: &Report, form: Form, text: impl Fn(&Report) -> String) -> Result<String, serde_json::Error> {
    Ok(match form {
        Form::Whole(Output::Text) => text(report),
        Form::Whole(Output::Json) => serde_json::to_string_pretty(report)? + "\n",
        Form::Whole(Output::Nagios) => status::nagios(report),
        Form::Whole(Output::Prometheus) => status::prometheus(report),
        Form::Whole(Output::Html) => status::html(report),
        Form::GapsText => status::gaps_text(report),
        Form::GapsJson => status::gaps_json(report)?,
    })
}

/// Shows reports until a signal comes.
pub(super) fn watch(mut next: impl FnMut() -> Report, form: Form, text: impl Fn(&Report) -> String) -> Exit {
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("can't handle signals: {error}");
            return Exit::Failed;
        }
    };
    let report = || {
        let report = next();
        let shown = match form {
            Form::GapsText => status::gaps_text(&report),
            Form::Whole(_) | Form::GapsJson => text(&report),
        };
        let at = report.extra.made_at.map_or_else(String::new, |at| at.to_string());
        (shown, format!("{at}, again every 2 s, Ctrl-C ends it"))
    };
    status::redraw(report, &mut io::stdout(), status::terminal_rows, &signals);
    Exit::Success
}

/// Notes a person's word on a gap.
pub(super) fn acknowledge(common: &CommonSettings, id: u64, reason: &Reason, now: i64) -> Exit {
    match status::acknowledge(common, id, reason, now) {
        Ok((gap, segments)) => {
            let files = if segments == 1 { gap.first.to_string() } else { format!("{} to {}", gap.first, gap.last) };
            let count = if segments == 1 { "segment" } else { "segments" };
            let said = format!(
                "gap {id} is acknowledged: {files} ({segments} {count})\nIt stays listed, leaves the verdict, and gets no \
                 backup of its own: the next one seals it.\n"
            );
            let _ = io::stdout().write_all(said.as_bytes());
            Exit::Success
        }
        Err(error) => {
            tracing::error!("{}", log::chain(&error));
            Exit::Failed
        }
    }
}
