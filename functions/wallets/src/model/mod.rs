//! Domain types: no runtime, no AWS, no provider.

mod record;
mod taxonomy;
mod tempo;

pub use record::{Amount, Quantity, Record, RecordKind};
pub use taxonomy::{Category, Origin};
pub use tempo::Tempo;
