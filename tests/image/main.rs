//! `make image-test`: packaging/docker/Dockerfile built and lived with, by docker or podman, with the real entrypoint.
//!
//! What the containers archive to is the laboratory's S3 server on loopback, which they reach by the host's network. Where
//! there is no registry, the two base images are root file systems in folders: `base.sh` and `builder.sh` make them.
//! Everything that a run starts, and every image and container that it makes, is its own; it takes ports of its own too.
//!
//! | variable | what | unless set |
//! |---|---|---|
//! | `IMAGE_TEST_ENGINE` | the engine's program, with arguments | `docker` or `podman`, whichever answers |
//! | `IMAGE_TEST_BUILD` | more arguments for `build` | none |
//! | `IMAGE_TEST_RUN` | more arguments for `run` | none |
//! | `POSTGRES_IMAGE` | the base: an image's name, or a folder by its path | the Dockerfile's |
//! | `RUST_IMAGE` | the builder: the same | the Dockerfile's |
//! | `IMAGE_TEST_IMAGE` | an image that is built already | it is built |
//!
//! Words on the command line choose the scenes whose names contain them.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can't go on shall panic, and it makes its own files and processes"
)]

mod container;
mod engine;
mod life;
mod restored;
mod users;

use engine::Engine;
use std::time::Instant;

/// Says what holds.
fn say(what: &str) {
    println!("  ok     {what}");
}

type Scene = (&'static str, fn(&Engine));

const SCENES: [Scene; 8] = [
    ("life", life::life),
    ("wiped and killed", life::wiped_and_killed),
    ("junk before initdb", life::junk_before_initdb),
    ("a stop while the store hangs", life::stop_while_hanging),
    ("restore", restored::restore),
    ("other users", users::others),
    ("read-only root, PGDATA elsewhere", users::read_only),
    ("secrets in files", users::files),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let engine = Engine::new();
    println!("{}", engine.versions());
    for (name, scene) in SCENES {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            println!("{name}");
            let began = Instant::now();
            scene(&engine);
            println!("         {} s", began.elapsed().as_secs());
        }
    }
    println!("The image works.");
}
