//! What a user of the local Secrets Manager may rely on, one rule a test, through the AWS SDK on a real socket.
//!
//! Time is a clock the tests turn. Refusals come first in each file.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in what they share")]

mod batch_get_secret_value;
mod concurrency;
mod create_secret;
mod delete_secret;
mod describe_secret;
mod emulator;
mod file;
mod get_random_password;
mod get_secret_value;
mod list_secret_version_ids;
mod list_secrets;
mod protocol;
mod put_secret_value;
mod restore_secret;
mod secrecy;
mod tags;
mod update_secret;
mod update_secret_version_stage;
