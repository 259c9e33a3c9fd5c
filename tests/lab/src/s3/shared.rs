//! What the test and the server's tasks share: keys, buckets, faults and the log of requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use tokio::sync::watch;

use super::errors::Refusal;
use super::fault::{Fault, FaultId, FaultKind};
use super::request::{Operation, Request};

/// What the owner of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    ReadWrite,
    /// Downloads, listings and questions for existence.
    ReadOnly,
    /// Nothing.
    Nothing,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Changes with every change of the faults, so that a hanging request sees its fault removed.
    pub(super) changes: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<String, Key>,
    /// Every bucket that ever was, and whether it exists.
    pub(super) buckets: BTreeMap<String, bool>,
    pub(super) faults: Vec<(FaultId, Fault)>,
    pub(super) log: Vec<Request>,
    next_fault: u64,
}

pub(super) struct Key {
    pub(super) secret: String,
    pub(super) policy: Policy,
    pub(super) revoked: bool,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn inject(&self, fault: Fault) -> FaultId {
        let mut state = self.state();
        let id = FaultId(state.next_fault);
        state.next_fault += 1;
        state.faults.push((id, fault));
        id
    }

    pub(super) fn remove_faults(&self, unwanted: impl Fn(FaultId) -> bool) {
        self.state().faults.retain(|(id, _)| !unwanted(*id));
        self.changes.send_modify(|generation| *generation += 1);
    }

    pub(super) fn refuses_connections(&self) -> bool {
        self.state().faults.iter().any(|(_, fault)| fault.what == FaultKind::Refuse)
    }

    /// The first fault that concerns the request, counted as used.
    pub(super) fn take_fault(&self, request: &Request) -> Option<(FaultId, FaultKind)> {
        let mut state = self.state();
        let concerns = |fault: &Fault| fault.times != Some(0) && fault.on.concerns(request);
        let (id, fault) = state.faults.iter_mut().find(|(_, fault)| concerns(fault))?;
        fault.times = fault.times.map(|times| times - 1);
        Some((*id, fault.what.clone()))
    }

    /// Ends when the fault has been removed.
    pub(super) async fn removed(&self, fault: FaultId) {
        let mut changes = self.changes.subscribe();
        while self.state().faults.iter().any(|(id, _)| *id == fault) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn arrived(&self, request: &Request) -> usize {
        let mut state = self.state();
        state.log.push(request.clone());
        state.log.len() - 1
    }

    pub(super) fn answered(&self, entry: usize, status: u16, code: Option<String>) {
        if let Some(request) = self.state().log.get_mut(entry) {
            request.status = Some(status);
            request.s3_code = code;
        }
    }

    /// What keys, policies and buckets say about the request, in the order of the real S3 (the
    /// signature, which s3s checks later, excepted).
    pub(super) fn refusal(&self, request: &Request) -> Option<Refusal> {
        let state = self.state();
        let Some(key) = state.keys.get(&request.key_id).filter(|key| !key.revoked) else {
            return Some(Refusal::new(403, "InvalidAccessKeyId"));
        };
        if !key.policy.allows(request.operation) {
            return Some(Refusal::new(403, "AccessDenied"));
        }
        let exists = state.buckets.get(&request.bucket).copied().unwrap_or(false);
        (!exists).then(|| Refusal::new(404, "NoSuchBucket"))
    }
}

impl Policy {
    fn allows(self, operation: Operation) -> bool {
        match self {
            Self::ReadWrite => true,
            Self::ReadOnly => !matches!(operation, Operation::Put | Operation::Delete),
            Self::Nothing => false,
        }
    }
}

/// Gives s3s the secrets to check signatures with.
pub(super) struct Secrets(pub(super) std::sync::Arc<Shared>);

impl S3Auth for Secrets {
    fn get_secret_key<'life0, 'life1, 'async_trait>(
        &'life0 self,
        access_key: &'life1 str,
    ) -> std::pin::Pin<Box<dyn Future<Output = S3Result<SecretKey>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let secret = self.0.state().keys.get(access_key).map(|key| SecretKey::from(key.secret.as_str()));
        Box::pin(async move { secret.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidAccessKeyId)) })
    }
}
