//! `status --watch`: the report again and again, until a signal.
//!
//! On a terminal it is drawn over the last one, in the alternate screen (xterm's private mode 1049) without a cursor (25)
//! and without line wrap (7), and cut to the terminal's height so that the verdict stays at the top. Elsewhere each is
//! a block of its own.

use crate::signals::Signals;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

/// The height of a terminal that does not say its own.
const USUAL_ROWS: usize = 24;
/// The pause between two reports.
const PAUSE: Duration = Duration::from_secs(2);

/// Shows what `report` makes (a text, and when it was made) until a signal comes or the reader is gone. `rows` is the terminal's height; `None` where
/// there is none.
pub fn redraw(
    mut report: impl FnMut() -> (String, String),
    out: &mut dyn Write,
    rows: impl Fn() -> Option<usize>,
    signals: &Signals,
) {
    let on_terminal = rows().is_some();
    // A reader that has gone away has read enough.
    let _ = draw_all(&mut report, out, &rows, signals);
    if on_terminal {
        let _ = out.write_all(b"\x1b[?7h\x1b[?25h\x1b[?1049l");
        let _ = out.flush();
    }
}

/// The height of the terminal on stdout; `None` where it is none.
#[must_use]
pub fn terminal_rows() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let rows = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_row));
    Some(if rows == 0 { USUAL_ROWS } else { rows })
}

fn draw_all(
    report: &mut dyn FnMut() -> (String, String),
    out: &mut dyn Write,
    rows: &dyn Fn() -> Option<usize>,
    signals: &Signals,
) -> io::Result<()> {
    if rows().is_some() {
        out.write_all(b"\x1b[?1049h\x1b[?25l\x1b[?7l")?;
    }
    loop {
        let (text, at) = report();
        let block = rows().map_or_else(|| format!("{text}\n-- {at}\n\n"), |rows| frame(&text, &at, rows));
        out.write_all(block.as_bytes())?;
        out.flush()?;
        if signals.wait(PAUSE) {
            return Ok(());
        }
    }
}

/// One screen: from the top left corner, each line cleared to its end, when it was made in the last one, and nothing left
/// of what was there.
fn frame(text: &str, at: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.len().min(rows.saturating_sub(1));
    let mut out = String::from("\x1b[H");
    for line in lines.iter().take(shown) {
        out.push_str(line);
        out.push_str("\x1b[K\r\n");
    }
    out.push_str(at);
    if shown < lines.len() {
        let _ = write!(out, "; {} more below: make the window taller", lines.len() - shown);
    }
    out.push_str("\x1b[K\x1b[J");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_scrolls_and_clears_what_was_there() {
        let text = "OK\none\ntwo\nthree\n";
        let whole = "\x1b[HOK\x1b[K\r\none\x1b[K\r\ntwo\x1b[K\r\nthree\x1b[K\r\nnow\x1b[K\x1b[J";
        assert_eq!(frame(text, "now", 5), whole);
        for rows in 0..8 {
            let frame = frame(text, "now", rows);
            assert!(frame.matches('\n').count() < rows.max(1), "{rows}: {frame:?}");
            assert!(frame.starts_with("\x1b[H") && frame.ends_with("\x1b[J"), "{frame:?}");
        }
        assert!(frame(text, "now", 4).contains("now; 1 more below"), "{:?}", frame(text, "now", 4));
    }
}
