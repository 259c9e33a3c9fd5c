//! The page in a real browser, where there is one: Chromium without a screen, in both colour schemes.
//!
//! `make deps` does not install it: it is large, and `page.rs` checks the structure everywhere.

use super::situations::situations;
use pgbackrest_guard::status::html;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Blink's numbers of the schemes, and the page's ground in each.
const SCHEMES: [(&str, [u8; 3]); 2] = [("1", [0xf4, 0xf6, 0xf8]), ("0", [0x0e, 0x13, 0x18])];
/// What can be restored, in each scheme.
const GREEN: [[u8; 3]; 2] = [[0x2b, 0x9a, 0x50], [0x37, 0xa8, 0x5c]];
/// What is lost.
const RED: [[u8; 3]; 2] = [[0xd0, 0x34, 0x2a], [0xe5, 0x53, 0x4b]];

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| file.is_file())
}

/// A picture: its width, and its pixels.
struct Picture {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn read(path: &Path) -> Self {
        let decoder = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let channels = info.color_type.samples();
        let pixels = bytes[..info.buffer_size()].chunks_exact(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Self { width: usize::try_from(info.width).unwrap(), pixels: pixels.collect() }
    }

    /// How many pixels have about this colour: edges are smoothed.
    fn count(&self, colour: [u8; 3]) -> usize {
        let near = |pixel: &&[u8; 3]| pixel.iter().zip(colour).all(|(one, other)| one.abs_diff(other) <= 3);
        self.pixels.iter().filter(near).count()
    }
}

fn photograph(browser: &Path, folder: &Path, page: &Path, scheme: &str, width: u32) -> (Picture, String) {
    let picture = folder.join(format!("{scheme}-{width}.png"));
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--window-size={width},1500"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(picture.exists(), "{said}");
    (Picture::read(&picture), said)
}

#[test]
fn chromium_draws_the_page_in_both_schemes_and_has_nothing_to_complain_about() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: no chromium on PATH (apt-get install chromium)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let (_, report) = situations().into_iter().find(|(name, _)| *name == "open gap").unwrap();
    fs::write(&page, html(&report)).unwrap();
    for (at, (scheme, ground)) in SCHEMES.into_iter().enumerate() {
        let (picture, said) = photograph(&browser, folder.path(), &page, scheme, 1_120);
        assert!(!said.contains("CONSOLE") && !said.contains("Content Security Policy"), "{said}");
        assert_eq!((picture.width, picture.pixels[0]), (1_120, ground), "scheme {scheme}");
        // The time line: more than a day that can be restored, three hours that can't.
        let (green, red) = (picture.count(GREEN[at]), picture.count(RED[at]));
        assert!(green > 8_000 && red > 400 && green > red, "scheme {scheme}: {green} green, {red} red");
    }
    let (narrow, _) = photograph(&browser, folder.path(), &page, "1", 500);
    let right_edge = narrow.pixels.iter().skip(narrow.width - 1).step_by(narrow.width);
    assert!(right_edge.clone().all(|pixel| *pixel == SCHEMES[0].1), "nothing reaches over a narrow window's edge");
}
