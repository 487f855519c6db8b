//! An AWS Secrets Manager for one machine: the API the functions use, kept in one SQLite file.
//!
//! # How it works
//! A request is one `POST /` in the awsJson1.1 protocol (`protocol`): the header `X-Amz-Target` names the operation,
//! the body is its input (`requests`). Every operation (`operations`) is one SQLite transaction (`store`) that has
//! reached the disk before the answer leaves, so a killed process loses nothing it acknowledged. SQLite blocks, so the
//! transactions run on Tokio's blocking threads, one at a time; that makes concurrent writers take turns, and each sees
//! the other's labels.
//!
//! What a version and a staging label may do is written once, without storage, in `labels`: a secret's labels are a map
//! from label to version, so a label cannot sit on two versions. A new `AWSCURRENT` takes `AWSPREVIOUS` along to the
//! version it leaves. A version without a label is deprecated: readable by its id, hidden from the lists, and forgotten
//! when it is a day old and a secret has a hundred versions. With a hundred younger or labelled ones a secret takes no
//! more.
//!
//! A deleted secret keeps its name until its deletion date has passed. Nothing runs in the background: each transaction
//! starts by removing what is due by the clock in [`Options`].
//!
//! # What differs from the service
//! - One account (`000000000000`) and one Region; signatures are not checked.
//! - No rotation, replication or resource policies: those operations answer `UnknownOperationException`, and
//!   `CreateSecret` refuses `AddReplicaRegions`.
//! - `KmsKeyId` is remembered and shown; values are stored as they are, in a file only its owner may read (mode 0600).
//! - The service has about a hundred versions of a secret; here the hundred-and-first is refused.
//! - A list that is not told an order ascends by creation.
//! - Every write is seen by the next read, and a forced deletion is immediate.
//!
//! Secret values are [`secrecy`] types from the request to the row, and back until the answer is written: no `Debug`
//! output, error or log line holds one.

mod error;
mod filter;
mod labels;
mod moment;
mod operations;
mod page;
mod protocol;
mod random;
mod requests;
mod store;
mod value;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpListener;

pub use self::store::OpenError;
use self::store::Store;

/// Tells the time; a test hands in one it can turn.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an emulator needs to know beside its file.
#[derive(Clone)]
pub struct Options {
    /// The Region in the ARNs of new secrets.
    pub region: String,
    /// The time of every creation, change and deletion.
    pub now: Clock,
}

impl Default for Options {
    /// `us-east-1` and the system's clock.
    fn default() -> Self {
        Self { region: "us-east-1".to_owned(), now: Arc::new(Timestamp::now) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("region", &self.region).finish_non_exhaustive()
    }
}

/// The emulator. Clones share one database.
#[derive(Clone)]
pub struct SecretsManager {
    store: Arc<Store>,
}

impl SecretsManager {
    /// Opens the database at `path`, or creates it, readable by its owner only. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`OpenError`]: the file is damaged, belongs to something else, or cannot be opened.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Ok(Self { store: Arc::new(Store::open(path, options)?) })
    }

    /// An emulator that forgets everything when its last clone is dropped.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite cannot allocate a database.
    pub fn memory(options: Options) -> Result<Self, OpenError> {
        Ok(Self { store: Arc::new(Store::memory(options)?) })
    }

    /// The API as a router with the one route `POST /`.
    pub fn router(&self) -> axum::Router {
        protocol::router(self.clone())
    }
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretsManager").finish_non_exhaustive()
    }
}

/// Serves the API on `listener` until `shutdown` completes, then finishes the requests under way.
///
/// # Errors
/// The listener failed.
pub async fn serve_with_shutdown(
    listener: TcpListener,
    secrets: SecretsManager,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, secrets.router()).with_graceful_shutdown(shutdown).await
}
