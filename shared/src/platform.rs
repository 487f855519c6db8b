//! Everything shared, assembled: what a function is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_lc_rs::hmac;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{Credentials as AwsCredentials, SharedCredentialsProvider};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use crate::audit::AuditLog;
use crate::auth::{Authenticator, TokenStore};
use crate::clock::Ids;
use crate::config::{AwsConfig, Config, Identity, OAuthClient, Policy};
use crate::credentials::{CredentialError, Credentials, disclose};
use crate::egress::{self, Egress, Upstream};
use crate::http::RateLimiter;
use crate::table::Table;
use crate::telemetry::metrics::{Metrics, Sink};

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
    /// Who hears what is measured.
    pub metrics: Metrics,
    /// How much a token may ask for.
    pub rate_limiter: Arc<RateLimiter>,
    /// Who did what.
    pub audit: AuditLog,
    signing_key: Arc<OnceCell<hmac::Key>>,
    operator_keys: Arc<Mutex<OperatorKeys>>,
    oauth_clients: Arc<Mutex<OAuthClients>>,
}

/// When each key was looked for, and what was found.
type OperatorKeys = BTreeMap<Upstream, (Timestamp, Option<SecretString>)>;

/// The same for OAuth clients, by the provider's name.
type OAuthClients = BTreeMap<String, (Timestamp, Option<OAuthClient>)>;

/// An OAuth client as the stack's secret has it.
#[derive(Deserialize)]
struct OAuthSecret {
    client_id: String,
    client_secret: String,
    slug: Option<String>,
}

/// For how long an operator's key, or that there is none, is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);

impl Platform {
    /// The stack's own secret that cursors are signed with.
    pub const SIGNING_KEY: &'static str = "operator/signing-key";

    /// Assembles a platform. Nothing is connected to yet.
    #[must_use]
    pub fn new(config: &Config, ids: Ids) -> Self {
        Self::with_egress(&config.aws, Egress::new(config.egress.clone()), ids).with_policy(config.policy)
    }

    /// The same platform under another policy.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        let rate_limiter = RateLimiter::new(policy.rate_limit, self.table.clone(), self.ids.clone());
        let audit = AuditLog::new(self.table.clone(), self.ids.clone(), policy.audit_days);
        Self { rate_limiter: Arc::new(rate_limiter), audit, ..self }
    }

    /// Assembles a platform with a way out of one's own; tokens are not limited.
    #[must_use]
    pub fn with_egress(aws: &AwsConfig, egress: Egress, ids: Ids) -> Self {
        Self::with_sdk(&sdk_config(aws), aws, egress, ids)
    }

    /// Assembles a platform over an SDK configuration of one's own: an operator's profile.
    #[must_use]
    pub fn with_sdk(sdk: &SdkConfig, aws: &AwsConfig, egress: Egress, ids: Ids) -> Self {
        let retry = sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let retry = retry.with_reconnect_mode(egress::aws::RECONNECT);
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(sdk).retry_config(retry.clone());
        dynamodb.set_endpoint_url(aws.dynamodb_endpoint.as_ref().map(ToString::to_string));
        dynamodb.set_retry_partition(retry_quota("dynamodb", aws.dynamodb_endpoint.as_ref()));
        let mut secrets_manager = aws_sdk_secretsmanager::config::Builder::from(sdk).retry_config(retry);
        secrets_manager.set_endpoint_url(aws.secrets_manager_endpoint.as_ref().map(ToString::to_string));
        secrets_manager.set_retry_partition(retry_quota("secretsmanager", aws.secrets_manager_endpoint.as_ref()));
        let table = Table::new(aws_sdk_dynamodb::Client::from_conf(dynamodb.build()), &aws.table, ids.clone());
        let secrets = aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build());
        let credentials = Credentials::new(secrets, &aws.stack, ids.clone()).encrypted_with(aws.kms_key.as_deref());
        let tokens = TokenStore::new(table.clone(), ids.clone());
        let authenticator = Arc::new(Authenticator::new(tokens.clone(), &egress, ids.clone()));
        let metrics = Metrics::unheard(&aws.stack, ids.clone());
        let (signing_key, operator_keys, oauth_clients) = (Arc::new(OnceCell::new()), Arc::default(), Arc::default());
        let rate_limiter = Arc::new(RateLimiter::new(0, table.clone(), ids.clone()));
        let audit = AuditLog::new(table.clone(), ids.clone(), Policy::default().audit_days);
        Self {
            ids,
            table,
            credentials,
            egress,
            authenticator,
            tokens,
            metrics,
            rate_limiter,
            audit,
            signing_key,
            operator_keys,
            oauth_clients,
        }
    }

    /// The same, and `sink` hears what is measured on it.
    #[must_use]
    pub fn heard_by(self, sink: Arc<dyn Sink>) -> Self {
        Self { metrics: self.metrics.heard_by(sink), ..self }
    }

    /// The operator's own key with `upstream`, if there is one: `CAUSEWAY_<UPSTREAM>_API_KEY`, or the stack's secret
    /// `operator/<upstream>` with the name in lower case.
    ///
    /// # Errors
    /// [`CredentialError`] if it cannot be told.
    pub async fn operator_key(&self, upstream: Upstream) -> Result<Option<SecretString>, CredentialError> {
        if let Some(key) = self.egress.operator_key(upstream) {
            return Ok(Some(key));
        }
        let now = self.ids.now();
        let remembered = |keys: &OperatorKeys| {
            keys.get(&upstream).filter(|(at, _)| now.duration_since(*at) < REMEMBERED).map(|(_, key)| key.clone())
        };
        if let Some(key) = remembered(&self.operator_keys.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(key);
        }
        let key = match self.credentials.own(&format!("operator/{}", upstream.name().to_ascii_lowercase())).await {
            Ok(key) => Some(key),
            Err(CredentialError::Missing) => None,
            Err(error) => return Err(error),
        };
        self.operator_keys.lock().unwrap_or_else(PoisonError::into_inner).insert(upstream, (now, key.clone()));
        Ok(key)
    }

    /// The operator's OAuth client with `provider`, if there is one: `CAUSEWAY_OAUTH_<PROVIDER>_CLIENT_ID` and its
    /// companions, or the stack's secret `oauth/<provider>`: `{"client_id", "client_secret", "slug"?}`.
    ///
    /// # Errors
    /// [`CredentialError`] if it cannot be told.
    pub async fn oauth_client(&self, provider: &str) -> Result<Option<OAuthClient>, CredentialError> {
        if let Some(client) = self.egress.oauth_client(provider) {
            return Ok(Some(client));
        }
        let now = self.ids.now();
        let remembered = |clients: &OAuthClients| {
            clients.get(provider).filter(|(at, _)| now.duration_since(*at) < REMEMBERED).map(|(_, one)| one.clone())
        };
        if let Some(client) = remembered(&self.oauth_clients.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(client);
        }
        let client = match self.credentials.own(&format!("oauth/{provider}")).await {
            Ok(document) => {
                let read: Result<OAuthSecret, _> = serde_json::from_str(disclose(&document));
                let OAuthSecret { client_id, client_secret, slug } =
                    read.map_err(|_| CredentialError::Malformed("an OAuth client has another form"))?;
                Some(OAuthClient { id: client_id, secret: client_secret.into(), slug })
            }
            Err(CredentialError::Missing) => None,
            Err(error) => return Err(error),
        };
        let mut clients = self.oauth_clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(provider.to_owned(), (now, client.clone()));
        Ok(client)
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
        .http_client(egress::aws::client(aws.certificates.clone()))
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
