//! The server as the test holds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc as blocking};
use std::thread::{self, JoinHandle};

use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::runtime;
use tokio::sync::mpsc;

use super::fault::{Fault, FaultId, FaultKind};
use super::listener::{Change, Listener, bind};
use super::request::Request;
use super::shared::{Key, Policy, Secrets, Shared};
use super::tls;
use crate::Lab;

/// An S3 server over TLS on a port of 127.0.0.1, which ends when this is dropped.
pub struct S3Server {
    objects: Objects,
    port: u16,
    ca_file: PathBuf,
    changes: Option<mpsc::UnboundedSender<Change>>,
    thread: Option<JoinHandle<()>>,
    _lab: Lab,
}

/// The stored objects, for those who outlive a borrow of the server.
#[derive(Clone)]
pub(crate) struct Objects {
    shared: Arc<Shared>,
    folder: PathBuf,
}

impl S3Server {
    /// Starts a server without keys and buckets.
    pub fn start(lab: &Lab) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (socket, address) = runtime.block_on(async {
            let socket = bind(([127, 0, 0, 1], 0).into());
            let address = socket.local_addr().unwrap();
            (socket, address)
        });
        let port = address.port();
        let folder = lab.path().join(format!("s3-{port}"));
        fs::create_dir(&folder).unwrap();
        let (acceptor, authority) = tls::acceptor();
        let ca_file = lab.write_file(format!("s3-{port}.pem"), authority);
        let shared = Arc::new(Shared::new());
        let service = service(&shared, &folder);
        let (changes, asked) = mpsc::unbounded_channel();
        let listener = Listener { address, shared: Arc::clone(&shared), service, tls: acceptor };
        let thread = thread::Builder::new().name("s3".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(listener.run(socket, asked));
            runtime.shutdown_background();
        });
        let objects = Objects { shared, folder };
        Self { objects, port, ca_file, changes: Some(changes), thread: Some(thread.unwrap()), _lab: lab.clone() }
    }

    /// The host name for `repo-s3-endpoint`.
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// The port for `repo-storage-port`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority for `repo-storage-ca-file`.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Creates an empty bucket, also in place of a deleted one.
    pub fn create_bucket(&self, bucket: &str) {
        let folder = self.objects.folder.join(bucket);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        self.objects.shared.state().buckets.insert(bucket.to_owned(), true);
    }

    /// Lets the bucket be gone: every request for it gets 404 `NoSuchBucket`.
    pub fn delete_bucket(&self, bucket: &str) {
        self.set_bucket(bucket, false);
    }

    /// Brings a deleted bucket back with its objects.
    pub fn restore_bucket(&self, bucket: &str) {
        self.set_bucket(bucket, true);
    }

    fn set_bucket(&self, bucket: &str, exists: bool) {
        *self.objects.shared.state().buckets.get_mut(bucket).expect("a bucket of this server") = exists;
    }

    /// Adds an access key with all rights, or gives an existing one a new secret and all rights.
    pub fn add_key(&self, key_id: &str, secret: &str) {
        let key = Key { secret: secret.to_owned(), policy: Policy::ReadWrite, revoked: false };
        self.objects.shared.state().keys.insert(key_id.to_owned(), key);
    }

    /// Requests by this key get 403 `InvalidAccessKeyId` from now on.
    pub fn revoke_key(&self, key_id: &str) {
        self.key(key_id, |key| key.revoked = true);
    }

    /// Takes a revocation back.
    pub fn restore_key(&self, key_id: &str) {
        self.key(key_id, |key| key.revoked = false);
    }

    /// Sets what the key's owner may do; the rest gets 403 `AccessDenied`.
    pub fn set_policy(&self, key_id: &str, policy: Policy) {
        self.key(key_id, |key| key.policy = policy);
    }

    fn key(&self, key_id: &str, change: impl FnOnce(&mut Key)) {
        change(self.objects.shared.state().keys.get_mut(key_id).expect("a key of this server"));
    }

    /// Lets something go wrong from now on. With several faults the oldest that concerns a request counts.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let refuses = fault.what == FaultKind::Refuse;
        let id = self.objects.shared.inject(fault);
        if refuses {
            self.set_listening();
        }
        id
    }

    /// Removes one fault; requests that hang because of it are reset.
    pub fn remove(&self, fault: FaultId) {
        self.objects.shared.remove_faults(|id| id == fault);
        self.set_listening();
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.objects.shared.remove_faults(|_| true);
        self.set_listening();
    }

    fn set_listening(&self) {
        let (done, is_done) = blocking::channel();
        let listen = !self.objects.shared.refuses_connections();
        let changes = self.changes.as_ref().expect("a running server");
        changes.send(Change { listen, done }).unwrap_or_else(|_| panic!("the S3 server has ended"));
        is_done.recv().expect("the S3 server has ended");
    }

    /// The log of requests since the start or the last [`S3Server::forget_requests`], oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.objects.shared.state().log.clone()
    }

    /// Empties the log of requests; those still unanswered will not appear in it any more.
    pub fn forget_requests(&self) {
        self.objects.shared.state().log.clear();
    }

    /// The keys of all objects in the bucket, sorted; none when it has been deleted.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        self.objects.keys(bucket)
    }

    /// The content of an object, also of one in a deleted bucket.
    pub fn object_bytes(&self, bucket: &str, key: &str) -> Vec<u8> {
        fs::read(self.objects.path(bucket, key)).unwrap()
    }

    /// Writes an object past all keys and policies.
    pub fn put_object(&self, bucket: &str, key: &str, content: impl AsRef<[u8]>) {
        let path = self.objects.path(bucket, key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Removes an object past all keys and policies.
    pub fn remove_object(&self, bucket: &str, key: &str) {
        fs::remove_file(self.objects.path(bucket, key)).unwrap();
    }

    pub(crate) fn store(&self) -> Objects {
        self.objects.clone()
    }
}

impl Objects {
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        if self.shared.state().buckets.get(bucket) != Some(&true) {
            return Vec::new();
        }
        crate::backrest::files_below(&self.folder.join(bucket))
    }

    fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.join(bucket).join(key)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.requests();
            eprintln!("--- the last of {} requests to the S3 server", log.len());
            for request in log.iter().rev().take(20).rev() {
                eprintln!("{request}");
            }
        }
        drop(self.changes.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the S3 server's thread panicked");
        }
    }
}

fn service(shared: &Arc<Shared>, folder: &Path) -> S3Service {
    let mut builder = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    builder.set_auth(Secrets(Arc::clone(shared)));
    builder.build()
}
