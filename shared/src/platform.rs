//! Everything shared, assembled: what a function is given.

use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_lc_rs::hmac;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{Credentials as AwsCredentials, SharedCredentialsProvider};
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::{Authenticator, TokenStore};
use crate::clock::Ids;
use crate::config::{AwsConfig, Config, Identity};
use crate::credentials::{CredentialError, Credentials, disclose};
use crate::egress::Egress;
use crate::table::Table;

/// What a function stands on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Time, ids and randomness.
    pub ids: Ids,
    /// The table.
    pub table: Table,
    /// The secrets.
    pub credentials: Credentials,
    /// The way out.
    pub egress: Egress,
    /// Who a token stands for.
    pub authenticator: Arc<Authenticator>,
    /// Tokens, for their operator.
    pub tokens: TokenStore,
    signing_key: Arc<OnceCell<hmac::Key>>,
}

impl Platform {
    /// The stack's own secret that cursors are signed with.
    pub const SIGNING_KEY: &'static str = "operator/signing-key";

    /// Assembles a platform. Nothing is connected to yet.
    #[must_use]
    pub fn new(config: &Config, ids: Ids) -> Self {
        Self::with_egress(&config.aws, Egress::new(config.egress.clone()), ids)
    }

    /// Assembles a platform with a way out of one's own.
    #[must_use]
    pub fn with_egress(aws: &AwsConfig, egress: Egress, ids: Ids) -> Self {
        Self::with_sdk(&sdk_config(aws), aws, egress, ids)
    }

    /// Assembles a platform over an SDK configuration of one's own: an operator's profile.
    #[must_use]
    pub fn with_sdk(sdk: &SdkConfig, aws: &AwsConfig, egress: Egress, ids: Ids) -> Self {
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(sdk);
        dynamodb.set_endpoint_url(aws.dynamodb_endpoint.as_ref().map(ToString::to_string));
        dynamodb.set_retry_partition(retry_quota("dynamodb", aws.dynamodb_endpoint.as_ref()));
        let mut secrets_manager = aws_sdk_secretsmanager::config::Builder::from(sdk);
        secrets_manager.set_endpoint_url(aws.secrets_manager_endpoint.as_ref().map(ToString::to_string));
        secrets_manager.set_retry_partition(retry_quota("secretsmanager", aws.secrets_manager_endpoint.as_ref()));
        let table = Table::new(aws_sdk_dynamodb::Client::from_conf(dynamodb.build()), &aws.table, ids.clone());
        let secrets = aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build());
        let credentials = Credentials::new(secrets, &aws.stack, ids.clone());
        let tokens = TokenStore::new(table.clone(), ids.clone());
        let authenticator = Arc::new(Authenticator::new(tokens.clone(), ids.clone()));
        Self { ids, table, credentials, egress, authenticator, tokens, signing_key: Arc::new(OnceCell::new()) }
    }

    /// The key that cursors are signed with, read when first needed.
    ///
    /// # Errors
    /// [`CredentialError`] if the stack has none.
    pub async fn signing_key(&self) -> Result<&hmac::Key, CredentialError> {
        self.signing_key
            .get_or_try_init(|| async {
                let secret = self.credentials.own(Self::SIGNING_KEY).await?;
                Ok(hmac::Key::new(hmac::HMAC_SHA256, disclose(&secret).as_bytes()))
            })
            .await
    }
}

/// Bounded tries and times, so that a request ends within an invocation whatever AWS does.
fn sdk_config(aws: &AwsConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(1_500))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50)))
        .timeout_config(timeouts)
        .credentials_provider(provider(aws.identity))
        .build()
}

/// The SDK allows so many retries in a process, all clients of a service together. An endpoint of one's own has an
/// allowance of its own, so that one stack's trouble does not keep another in the same process from retrying.
fn retry_quota(service: &str, endpoint: Option<&Url>) -> Option<RetryPartition> {
    endpoint.map(|endpoint| RetryPartition::new(format!("{service} {endpoint}")))
}

fn provider(identity: Identity) -> SharedCredentialsProvider {
    match identity {
        Identity::Environment => SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()),
        Identity::Emulator => {
            SharedCredentialsProvider::new(AwsCredentials::new("local", "local", None, None, "emulator"))
        }
    }
}
