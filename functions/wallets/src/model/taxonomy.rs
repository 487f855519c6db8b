//! What kinds of integration there are.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:tt;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the API writes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }

            /// `one of …`, for messages.
            #[must_use]
            pub fn accepted() -> String {
                let names: Vec<&str> = Self::ALL.iter().map(|one| one.name()).collect();
                format!("one of {}", names.join(", "))
            }
        }
    };
}
pub(super) use names;

names! {
    /// What kind of place an integration reaches.
    Category {
        /// A centralised exchange.
        Exchange = "exchange";
        /// A software or hardware wallet.
        Wallet = "wallet";
        /// A chain itself.
        Blockchain = "blockchain";
        /// Something else, such as a file of unknown making.
        Unknown = "unknown";
    }
}

names! {
    /// Where an integration's history comes from: what the API calls its `type`.
    Origin {
        /// Asked for, with credentials or by an address.
        Api = "api";
        /// Uploaded.
        Csv = "csv";
    }
}
