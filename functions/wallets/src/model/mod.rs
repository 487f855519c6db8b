//! Domain types: no runtime, no AWS, no provider.

mod importing;
mod integration;
mod record;
mod search;
mod sync;
mod taxonomy;
mod tempo;

pub use importing::{Claimed, INTERRUPTED, Importing};
pub use integration::{Integration, SecretPart, Slim, UNTESTED, WalletId};
pub use record::{Amount, Quantity, Record, RecordKind};
pub use search::Search;
pub use sync::{LEASE, Mode, Status, Step, Sync, ends_soon};
pub use taxonomy::{Category, Origin};
pub use tempo::Tempo;
