//! What a token may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// States a permission as a type, so that it stands in a handler's signature.
pub trait Needs: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What a token may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it is written in tokens and errors.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        /// Each permission as a type, for [`Caller`](super::Caller).
        pub mod needs {
            use super::{Needs, Permission};
            $($(#[$doc])* #[derive(Debug)] pub struct $variant;
            impl Needs for $variant {
                const PERMISSION: Permission = Permission::$variant;
            })*
        }
    };
}

permissions! {
    /// See the wallets group's integrations.
    IntegrationsRead = "integrations:read";
    /// Change the wallets group's integrations.
    IntegrationsWrite = "integrations:write";
    /// See the services group's integrations, without their secrets.
    ServicesRead = "services:read";
    /// See the services group's secrets as well.
    ServicesSecrets = "services:secrets";
    /// Create, change, delete, test and send in the services group.
    ServicesWrite = "services:write";
    /// See the keys group's pool.
    KeysRead = "keys:read";
    /// Change the keys group's pool.
    KeysWrite = "keys:write";
    /// Acquire a key and report on it.
    KeysUse = "keys:use";
    /// See the vaults group's connections and vaults.
    VaultsRead = "vaults:read";
    /// Change the vaults group's connections and vaults.
    VaultsWrite = "vaults:write";
    /// Run a sync.
    VaultsSync = "vaults:sync";
    /// See a vault's values.
    SecretsRead = "secrets:read";
    /// Change a vault's values.
    SecretsWrite = "secrets:write";
}

impl Permission {
    /// The permission of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == name)
    }

    /// True for what shows things but no secret: every `…:read` but `secrets:read`.
    #[must_use]
    pub fn is_plain_read(self) -> bool {
        self.name().ends_with(":read") && self != Self::SecretsRead
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
