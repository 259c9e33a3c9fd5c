//! An S3 server over TLS in the test's process, which breaks on demand.
//!
//! s3s speaks S3 and checks signatures, s3s-fs keeps the objects in a folder of the laboratory. In
//! front of both stands a gate that knows keys, policies, buckets and faults, answers refusals in
//! the form of the real S3, and writes the log of requests.

mod body;
mod errors;
mod fault;
mod gate;
mod listener;
mod request;
mod server;
mod shared;
mod tls;

pub use fault::{Fault, FaultId, FaultKind, Operations};
pub use request::{Operation, Request};
pub use server::S3Server;
pub use shared::Policy;

pub(crate) use listener::bind;
pub(crate) use server::Objects;
pub(crate) use tls::acceptor as tls_acceptor;
