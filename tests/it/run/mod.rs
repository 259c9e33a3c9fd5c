//! Run: the supervisor, CMD and the watcher below it, and the container image.
//!
//! The scene is `scene.rs`: the real program as PID 1 of a PID namespace and as any other process, with a shell script
//! for CMD. `entrypoint.sh` stands for the official image's entrypoint in `live/run.rs`.

mod docker;
mod environment;
pub(crate) mod scene;
mod signals;
mod watch;
