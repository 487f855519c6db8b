//! A deployed stack, found by its name: CloudFormation knows which table is the stack's own.
//!
//! The table's name is not made of the stack's alone, and a table outlives its stack, so asking for tables of a likely
//! name could find the one of a stack that is gone. CloudFormation is asked by one signed request, because the SDK's
//! client for it is as large as everything else that is linked here. `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB` and
//! `AWS_ENDPOINT_URL_CLOUDFORMATION` lead elsewhere, as they do for AWS's own tools.
//!
//! Every failure is one line that says what to do about it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::Method;
use shared::Platform;
use shared::clock::Ids;
use shared::config::{AwsConfig, EgressConfig, Identity};
use shared::egress::{Allowed, Egress, EgressError, aws};
use shared::table::TableError;
use url::Url;

/// The table's name in the template.
const TABLE: &str = "Table";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Why a deployed stack could not be worked on. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeployedError {
    /// The region is not known.
    #[error("no AWS region is set: use --region, or set one in the profile")]
    NoRegion,
    /// There are no credentials.
    #[error(
        "no AWS credentials were found ({detail}). Use --profile, or put some into the environment; those of single \
         sign-on with: eval \"$(aws configure export-credentials --profile NAME --format env)\""
    )]
    NoCredentials {
        /// What the SDK says about it.
        detail: String,
    },
    /// The credentials do not count any more, or never did.
    #[error(
        "AWS does not accept the credentials ({code}): they have expired, or are not of this account. Sign in again \
         (for single sign-on `aws sso login --profile NAME`), and put them into the environment anew if they are there"
    )]
    Rejected {
        /// AWS's name for it.
        code: String,
    },
    /// The credentials lack a right.
    #[error("the AWS credentials lack a right ({code}): {hint}")]
    NotAllowed {
        /// AWS's name for it.
        code: String,
        /// What is needed.
        hint: &'static str,
    },
    /// There is no such stack.
    #[error(
        "there is no stack {stack} in {region}. `aws cloudformation list-stacks --region {region}` shows those there are"
    )]
    NoStack {
        /// Its name.
        stack: String,
        /// Where it was looked for.
        region: String,
    },
    /// The stack is something else.
    #[error(
        "the stack {stack} in {region} has no table of Causeway's: it is another product's, or was never deployed whole"
    )]
    NoTable {
        /// Its name.
        stack: String,
        /// Where it was looked for.
        region: String,
    },
    /// The table is not there.
    #[error("there is no such table in this region: it was deleted, or --table or --region is mistyped")]
    TableGone,
    /// A variable cannot be used.
    #[error("{variable} is not an http or https URL")]
    Endpoint {
        /// Its name.
        variable: String,
    },
    /// CloudFormation did not answer.
    #[error("CloudFormation could not be asked for the stack's table: {0}. --table names it without asking")]
    Unreachable(#[source] EgressError),
    /// CloudFormation refused for another reason.
    #[error("CloudFormation could not tell the stack's table: {code}: {message}. --table names it without asking")]
    Refused {
        /// AWS's name for the reason.
        code: String,
        /// AWS's words.
        message: String,
    },
}

/// Which stack, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Named<'a> {
    pub(crate) stack: &'a str,
    pub(crate) table: Option<&'a str>,
    pub(crate) profile: Option<&'a str>,
    pub(crate) region: Option<&'a str>,
}

impl Named<'_> {
    /// The stack's platform.
    pub(crate) async fn platform(&self) -> Result<Platform, DeployedError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(aws::client(certificates()));
        if let Some(profile) = self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = self.region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let mut sdk = loader.load().await;
        if let Some(profile) = self.profile {
            sdk = with_profile(sdk, profile);
        }
        let region = sdk.region().ok_or(DeployedError::NoRegion)?.to_string();
        let dynamodb_endpoint = endpoint("DYNAMODB")?;
        // Asked for here, so that what is wrong with them is said in so many words.
        let credentials = credentials(&sdk, self.profile).await?;
        let table = match self.table {
            Some(table) => table.to_owned(),
            None => self.ask_for_table(&region, &credentials).await?,
        };
        let aws = AwsConfig {
            stack: self.stack.to_owned(),
            table,
            kms_key: None,
            region,
            dynamodb_endpoint,
            secrets_manager_endpoint: endpoint("SECRETS_MANAGER")?,
            identity: Identity::Environment,
            certificates: certificates(),
        };
        Ok(Platform::with_sdk(&sdk, &aws, Egress::new(EgressConfig::default()), Ids::default()))
    }

    async fn ask_for_table(&self, region: &str, credentials: &Credentials) -> Result<String, DeployedError> {
        let url = match endpoint("CLOUDFORMATION")? {
            Some(url) => url,
            None => {
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                let url = format!("https://cloudformation.{region}.amazonaws.com{suffix}/");
                Url::parse(&url).map_err(|_| DeployedError::NoRegion)?
            }
        };
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "DescribeStackResource")
            .append_pair("Version", "2010-05-15")
            .append_pair("StackName", self.stack)
            .append_pair("LogicalResourceId", TABLE)
            .finish();
        // Within a network of the operator's own, even AWS's name may lead to a private address.
        let host = url.host().zip(url.port_or_known_default());
        let allow = host.and_then(|(host, port)| Allowed::parse(&format!("{host}:{port}")));
        let allow = allow.into_iter().collect();
        let egress = Egress::new(EgressConfig { allow, certificates: certificates(), ..EgressConfig::default() });
        let mut request = egress.user_url(Method::POST, &url).repeatable().patience(Duration::from_secs(15));
        for (name, value) in signature(&url, &body, region, credentials)? {
            request = request.secret_header(name, &value.into());
        }
        let answer = request.body(CONTENT_TYPE, body.into()).send().await.map_err(DeployedError::Unreachable)?;
        let text = answer.text();
        match element(&text, "PhysicalResourceId") {
            Some(table) if answer.is_success() => Ok(table.to_owned()),
            _ => Err(self.refused(&text, answer.status, region)),
        }
    }

    fn refused(&self, text: &str, status: u16, region: &str) -> DeployedError {
        let (stack, region) = (self.stack.to_owned(), region.to_owned());
        let code = element(text, "Code").map_or_else(|| format!("status {status}"), str::to_owned);
        let message = element(text, "Message").unwrap_or("it gave no reason");
        if code == "ValidationError" && message.starts_with("Resource ") {
            return DeployedError::NoTable { stack, region };
        }
        if code == "ValidationError" && message.ends_with("does not exist") {
            return DeployedError::NoStack { stack, region };
        }
        let hint = "to find the table they need cloudformation:DescribeStackResource on the stack; --table names it \
                    without asking";
        known(&code, hint).unwrap_or_else(|| DeployedError::Refused { code, message: message.to_owned() })
    }
}

/// What it means that DynamoDB refused, where something can be done about it.
pub(crate) fn explained(error: &TableError) -> Option<DeployedError> {
    match error {
        TableError::Refused { code, .. } if code == "ResourceNotFoundException" => Some(DeployedError::TableGone),
        TableError::Refused { code, .. } => known(
            code,
            "token commands need dynamodb:GetItem, dynamodb:PutItem and dynamodb:Query on the stack's table, and leave \
             to use its KMS key if it has one",
        ),
        _ => None,
    }
}

/// What AWS calls the same thing in all of its services.
fn known(code: &str, hint: &'static str) -> Option<DeployedError> {
    let rejected = [
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    ];
    if rejected.contains(&code) {
        return Some(DeployedError::Rejected { code: code.to_owned() });
    }
    let lacking = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
    lacking.contains(&code).then(|| DeployedError::NotAllowed { code: code.to_owned(), hint })
}

/// Where a service is, if not where AWS has it.
fn endpoint(service: &str) -> Result<Option<Url>, DeployedError> {
    for variable in [format!("AWS_ENDPOINT_URL_{service}"), "AWS_ENDPOINT_URL".to_owned()] {
        let Some(value) = std::env::var(&variable).ok().filter(|value| !value.trim().is_empty()) else { continue };
        return match Url::parse(value.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
            _ => Err(DeployedError::Endpoint { variable }),
        };
    }
    Ok(None)
}

/// Whom to trust on the operator's own machine.
fn certificates() -> Option<PathBuf> {
    shared::config::certificates(std::env::vars())
}

/// The same with the credentials of a profile. By itself the SDK would prefer those in the environment to those of the
/// profile that was asked for, and work on another account.
fn with_profile(sdk: SdkConfig, profile: &str) -> SdkConfig {
    let mut config = ProviderConfig::without_region()
        .with_region(sdk.region().cloned())
        .with_behavior_version(Some(BehaviorVersion::latest()));
    if let Some(client) = sdk.http_client() {
        config = config.with_http_client(client);
    }
    let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile).build();
    sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

async fn credentials(sdk: &SdkConfig, profile: Option<&str>) -> Result<Credentials, DeployedError> {
    let none = |detail: &str| DeployedError::NoCredentials { detail: detail.to_owned() };
    let provider = sdk.credentials_provider().ok_or_else(|| none("none are configured"))?;
    provider.provide_credentials().await.map_err(|error| {
        let mut innermost: &(dyn std::error::Error + 'static) = &error;
        let mut built_in = true;
        while let Some(cause) = innermost.source() {
            innermost = cause;
            built_in &= !innermost.to_string().contains("cargo feature");
        }
        match (&error, profile) {
            _ if !built_in => none("the profile's way of signing in is not built in"),
            (CredentialsError::CredentialsNotLoaded(_), None) => none("neither in the environment nor in a profile"),
            (CredentialsError::CredentialsNotLoaded(_), Some(profile)) => {
                none(&format!("the profile {profile} has none"))
            }
            _ => {
                let text = innermost.to_string();
                none(text.trim_start_matches("ProfileFile provider could not be built: ").trim_end_matches(['.', ' ']))
            }
        }
    })
}

/// The headers of AWS's signature, version 4.
fn signature(
    url: &Url,
    body: &str,
    region: &str,
    credentials: &Credentials,
) -> Result<Vec<(&'static str, String)>, DeployedError> {
    let unsigned = |_| DeployedError::NoCredentials { detail: "what they sign cannot be signed".into() };
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("cloudformation")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| ())
        .map_err(unsigned)?
        .into();
    let headers = [("content-type", CONTENT_TYPE)].into_iter();
    let request = SignableRequest::new("POST", url.as_str(), headers, SignableBody::Bytes(body.as_bytes()));
    let request = request.map_err(|_| ()).map_err(unsigned)?;
    let (instructions, _) = sign(request, &parameters).map_err(|_| ()).map_err(unsigned)?.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.iter().map(|header| (header.name(), header.value().to_owned())).collect())
}

/// The text of the first element of this name. What is looked for here has neither attributes nor children.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}
