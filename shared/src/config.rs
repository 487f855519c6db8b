//! Configuration from the environment: read once, and every problem reported at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use url::{Host, Url};

use crate::auth::SigningAlgorithm;
use crate::egress::{Allowed, Upstream};

/// Everything a function is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where DynamoDB and Secrets Manager are, and what is ours there.
    pub aws: AwsConfig,
    /// Where requests to the outside go, and where they may go.
    pub egress: EgressConfig,
    /// How much a token may ask for, and for how long it is known what was done with it.
    pub policy: Policy,
}

/// How much a token may ask for, and for how long it is known what was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `CAUSEWAY_RATE_LIMIT`: how many requests a token may send in a minute. 0 lets any number through.
    pub rate_limit: u32,
    /// `CAUSEWAY_AUDIT_DAYS`: for how many days entries of the audit log are kept. 0 keeps them for ever.
    pub audit_days: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { rate_limit: 600, audit_days: 400 }
    }
}

/// Where DynamoDB and Secrets Manager are, and what is ours there.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// `CAUSEWAY_STACK`: the first part of every secret's name.
    pub stack: String,
    /// `CAUSEWAY_TABLE`: the DynamoDB table.
    pub table: String,
    /// `CAUSEWAY_KMS_KEY`: the key that secrets are encrypted with, another than AWS's own.
    pub kms_key: Option<String>,
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: another address than the region's own.
    pub dynamodb_endpoint: Option<Url>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`: another address than the region's own.
    pub secrets_manager_endpoint: Option<Url>,
    /// Where the SDK finds its credentials.
    pub identity: Identity,
    /// `SSL_CERT_FILE`: see [`certificates`].
    pub certificates: Option<PathBuf>,
}

/// Where the AWS SDK finds its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// In `AWS_ACCESS_KEY_ID` and its companions, as Lambda sets them. Nothing else is asked, so nothing slow is.
    Environment,
    /// Fixed and meaningless, for emulators.
    Emulator,
}

/// Where requests to the outside go, and where they may go.
#[derive(Debug, Clone, Default)]
pub struct EgressConfig {
    /// `CAUSEWAY_ENDPOINT_<UPSTREAM>`: another base URL than the provider's own.
    pub endpoints: BTreeMap<Upstream, Url>,
    /// `CAUSEWAY_EGRESS_ALLOW`: comma-separated `host:port` that users may address although they are not public.
    pub allow: Vec<Allowed>,
    /// `CAUSEWAY_<UPSTREAM>_API_KEY`: the operator's own key with an upstream.
    pub keys: BTreeMap<Upstream, SecretString>,
    /// `CAUSEWAY_OAUTH_<PROVIDER>_CLIENT_ID`, `_CLIENT_SECRET` and `_SLUG`: the operator's OAuth clients, by the provider's
    /// name in lower case.
    pub oauth: BTreeMap<String, OAuthClient>,
    /// `CAUSEWAY_REDIRECT_ORIGINS`: comma-separated origins that a browser may be sent to once an account is connected.
    pub redirect_origins: Vec<String>,
    /// `CAUSEWAY_PUBLIC_URL_VAULTS`: the vaults group's base URL as browsers and platforms know it, without a slash at its
    /// end. OAuth callbacks are built on it.
    pub public_url_vaults: Option<String>,
    /// `CAUSEWAY_OIDC_…`: the operator's own issuer of tokens.
    pub oidc: Option<OidcConfig>,
    /// `SSL_CERT_FILE`: see [`certificates`].
    pub certificates: Option<PathBuf>,
}

/// The operator's OpenID Connect issuer, whose JWTs count as tokens, and what their claims mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// `CAUSEWAY_OIDC_ISSUER`: the issuer, exactly as its tokens name it in `iss`.
    pub issuer: String,
    /// `CAUSEWAY_OIDC_AUDIENCE`: what a token's `aud` must contain.
    pub audience: String,
    /// `CAUSEWAY_OIDC_TENANT_CLAIM`: the claim that names the tenant; `tenant` unless set.
    pub tenant_claim: String,
    /// `CAUSEWAY_OIDC_USER_CLAIM`: the claim that names the user; `sub` unless set.
    pub user_claim: String,
    /// `CAUSEWAY_OIDC_PERMISSIONS_CLAIM`: the claim that lists permissions; `permissions` unless set.
    pub permissions_claim: String,
    /// `CAUSEWAY_OIDC_ALGORITHM`: the one algorithm that tokens are signed with; RS256 unless set.
    pub algorithm: SigningAlgorithm,
}

impl OidcConfig {
    /// An issuer and an audience, everything else as it is unless set.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            tenant_claim: "tenant".into(),
            user_claim: "sub".into(),
            permissions_claim: "permissions".into(),
            algorithm: SigningAlgorithm::Rs256,
        }
    }
}

/// The operator's OAuth client with a provider.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
    /// What the provider calls it in the address of its page, where it does.
    pub slug: Option<String>,
}

/// One variable that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// Every problem of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the environment cannot be used:")?;
        for problem in &self.0 {
            write!(f, " {}: {};", problem.variable, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// A list of every variable that is missing or malformed.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(std::env::vars())
    }

    /// Reads the given variables.
    ///
    /// # Errors
    /// A list of every variable that is missing or malformed.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut reader = Reader { variables: variables.into_iter().collect(), problems: Vec::new() };
        let aws = AwsConfig {
            stack: reader.required("CAUSEWAY_STACK", "the stack's name, for instance causeway"),
            table: reader.required("CAUSEWAY_TABLE", "the DynamoDB table's name"),
            kms_key: reader.optional("CAUSEWAY_KMS_KEY"),
            region: reader.required("AWS_REGION", "an AWS region, for instance eu-central-1"),
            dynamodb_endpoint: reader.url("AWS_ENDPOINT_URL_DYNAMODB"),
            secrets_manager_endpoint: reader.url("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            identity: Identity::Environment,
            certificates: reader.certificates(),
        };
        let egress = reader.egress();
        let policy = reader.policy(Policy::default());
        if reader.problems.is_empty() { Ok(Self { aws, egress, policy }) } else { Err(ConfigError(reader.problems)) }
    }
}

impl Policy {
    /// Reads only what concerns tokens; what is not set is as `unset` says.
    ///
    /// # Errors
    /// A list of every variable that is malformed.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
        unset: Self,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader { variables: variables.into_iter().collect(), problems: Vec::new() };
        let policy = reader.policy(unset);
        if reader.problems.is_empty() { Ok(policy) } else { Err(ConfigError(reader.problems)) }
    }
}

impl EgressConfig {
    /// Reads only what concerns egress: what the local stack takes from its operator.
    ///
    /// # Errors
    /// A list of every variable that is malformed.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut reader = Reader { variables: variables.into_iter().collect(), problems: Vec::new() };
        let egress = reader.egress();
        if reader.problems.is_empty() { Ok(egress) } else { Err(ConfigError(reader.problems)) }
    }
}

/// `SSL_CERT_FILE`: a PEM file with the only certificate authorities that TLS trusts, in place of the public ones.
#[must_use]
pub fn certificates(variables: impl IntoIterator<Item = (String, String)>) -> Option<PathBuf> {
    Reader { variables: variables.into_iter().collect(), problems: Vec::new() }.certificates()
}

struct Reader {
    variables: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, variable: &str, message: impl Into<String>) {
        self.problems.push(Problem { variable: variable.to_owned(), message: message.into() });
    }

    fn optional(&self, variable: &str) -> Option<String> {
        self.variables.get(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, variable: &str, accepted: &str) -> String {
        self.optional(variable).unwrap_or_else(|| {
            self.problem(variable, format!("is not set; expected {accepted}"));
            String::new()
        })
    }

    fn url(&mut self, variable: &str) -> Option<Url> {
        let value = self.optional(variable)?;
        match Url::parse(&value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => {
                self.problem(variable, "is not an http or https URL");
                None
            }
        }
    }

    fn number(&mut self, variable: &str, unset: u32, most: u32) -> u32 {
        let Some(value) = self.optional(variable) else { return unset };
        match value.parse() {
            Ok(number) if number <= most => number,
            _ => {
                self.problem(variable, format!("is not a whole number from 0 to {most}"));
                unset
            }
        }
    }

    fn certificates(&self) -> Option<PathBuf> {
        self.optional("SSL_CERT_FILE").map(PathBuf::from)
    }

    fn policy(&mut self, unset: Policy) -> Policy {
        Policy {
            rate_limit: self.number("CAUSEWAY_RATE_LIMIT", unset.rate_limit, 1_000_000),
            audit_days: self.number("CAUSEWAY_AUDIT_DAYS", unset.audit_days, 36_500),
        }
    }

    fn egress(&mut self) -> EgressConfig {
        const PREFIX: &str = "CAUSEWAY_ENDPOINT_";
        let named: Vec<String> = self.variables.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
        let mut endpoints = BTreeMap::new();
        for variable in named {
            let name = variable.trim_start_matches(PREFIX);
            let Some(upstream) = Upstream::named(name) else {
                self.problem(&variable, "names no upstream; `causeway upstreams` lists them");
                continue;
            };
            if let Some(url) = self.url(&variable) {
                endpoints.insert(upstream, url);
            }
        }
        let mut allow = Vec::new();
        for entry in self.optional("CAUSEWAY_EGRESS_ALLOW").unwrap_or_default().split(',') {
            let entry = entry.trim();
            match Allowed::parse(entry) {
                Some(allowed) => allow.push(allowed),
                None if entry.is_empty() => {}
                None => self.problem("CAUSEWAY_EGRESS_ALLOW", format!("{entry:?} is not host:port")),
            }
        }
        let keys = Upstream::ALL.iter().filter_map(|upstream| {
            let key = self.optional(&format!("CAUSEWAY_{}_API_KEY", upstream.name()))?;
            Some((*upstream, SecretString::from(key)))
        });
        let keys = keys.collect();
        let (oauth, redirect_origins, oidc) = (self.oauth(), self.redirect_origins(), self.oidc());
        let public_url_vaults = self.public_url("CAUSEWAY_PUBLIC_URL_VAULTS");
        EgressConfig {
            endpoints,
            allow,
            keys,
            oauth,
            redirect_origins,
            public_url_vaults,
            oidc,
            certificates: self.certificates(),
        }
    }

    /// Without an issuer there is none, whatever the names of claims say: the template sets those to their defaults.
    fn oidc(&mut self) -> Option<OidcConfig> {
        const ISSUER: &str = "CAUSEWAY_OIDC_ISSUER";
        const AUDIENCE: &str = "CAUSEWAY_OIDC_AUDIENCE";
        const ALGORITHM: &str = "CAUSEWAY_OIDC_ALGORITHM";
        let (issuer, audience) = match (self.optional(ISSUER), self.optional(AUDIENCE)) {
            (None, None) => return None,
            (issuer, audience) => {
                if issuer.is_none() {
                    self.problem(ISSUER, "is not set, but the audience is");
                }
                if audience.is_none() {
                    self.problem(AUDIENCE, "is not set, but the issuer is; expected what the tokens' `aud` contains");
                }
                (issuer?, audience.unwrap_or_default())
            }
        };
        if !is_issuer(&issuer) {
            self.problem(ISSUER, "is not an https URL without a query, as the tokens name it in `iss`");
        }
        let mut config = OidcConfig::new(issuer, audience);
        for (claim, variable) in [
            (&mut config.tenant_claim, "CAUSEWAY_OIDC_TENANT_CLAIM"),
            (&mut config.user_claim, "CAUSEWAY_OIDC_USER_CLAIM"),
            (&mut config.permissions_claim, "CAUSEWAY_OIDC_PERMISSIONS_CLAIM"),
        ] {
            if let Some(name) = self.optional(variable) {
                *claim = name;
            }
        }
        if let Some(name) = self.optional(ALGORITHM) {
            match SigningAlgorithm::named(&name) {
                Some(algorithm) => config.algorithm = algorithm,
                None => self.problem(ALGORITHM, "is not one of RS256, PS256, ES256 and EdDSA"),
            }
        }
        Some(config)
    }

    fn oauth(&mut self) -> BTreeMap<String, OAuthClient> {
        const PREFIX: &str = "CAUSEWAY_OAUTH_";
        let provider = |name: &String| Some(name.strip_prefix(PREFIX)?.strip_suffix("_CLIENT_ID")?.to_owned());
        let providers: Vec<String> = self.variables.keys().filter_map(provider).collect();
        let mut clients = BTreeMap::new();
        for provider in providers {
            let Some(id) = self.optional(&format!("{PREFIX}{provider}_CLIENT_ID")) else { continue };
            let secret = format!("{PREFIX}{provider}_CLIENT_SECRET");
            match self.optional(&secret).map(SecretString::from) {
                Some(secret) => {
                    let slug = self.optional(&format!("{PREFIX}{provider}_SLUG"));
                    clients.insert(provider.to_ascii_lowercase(), OAuthClient { id, secret, slug });
                }
                None => self.problem(&secret, "is not set, but the client's id is"),
            }
        }
        clients
    }

    fn redirect_origins(&mut self) -> Vec<String> {
        const VARIABLE: &str = "CAUSEWAY_REDIRECT_ORIGINS";
        let mut origins = Vec::new();
        for entry in self.optional(VARIABLE).unwrap_or_default().split(',') {
            let entry = entry.trim();
            match Url::parse(entry) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && matches!(url.path(), "" | "/") => {
                    origins.push(url.origin().ascii_serialization());
                }
                _ if entry.is_empty() => {}
                _ => {
                    self.problem(VARIABLE, format!("{entry:?} is not an origin, for instance https://app.example.com"))
                }
            }
        }
        origins
    }
}

impl Reader {
    /// A group's base URL: paths are put behind it.
    fn public_url(&mut self, variable: &str) -> Option<String> {
        let url = self.url(variable)?;
        let plain = url.username().is_empty() && url.password().is_none();
        if plain && url.query().is_none() && url.fragment().is_none() {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        self.problem(variable, "is not a base URL, for instance https://integrations.example.com");
        None
    }
}

/// OpenID Connect's form of an issuer; without TLS only on this machine, where the egress guard asks for leave too.
fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    (url.scheme() == "https" || (url.scheme() == "http" && loopback))
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

impl AwsConfig {
    /// The configuration of a stack whose DynamoDB and Secrets Manager are emulators on these addresses.
    #[must_use]
    pub fn emulated(dynamodb: SocketAddr, secrets_manager: SocketAddr) -> Self {
        let url = |address: SocketAddr| Url::parse(&format!("http://{address}")).ok();
        Self {
            stack: "causeway".into(),
            table: "causeway".into(),
            kms_key: None,
            region: "us-east-1".into(),
            dynamodb_endpoint: url(dynamodb),
            secrets_manager_endpoint: url(secrets_manager),
            identity: Identity::Emulator,
            certificates: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let error = Config::from_variables(variables(&[
            ("CAUSEWAY_STACK", " "),
            ("AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1"),
            ("CAUSEWAY_ENDPOINT_SLAK", "https://example.com"),
            ("CAUSEWAY_ENDPOINT_RESEND", "ftp://example.com"),
            ("CAUSEWAY_EGRESS_ALLOW", "example.com:80, example.com"),
            ("CAUSEWAY_OAUTH_VERCEL_CLIENT_ID", "oac_1"),
            ("CAUSEWAY_REDIRECT_ORIGINS", "https://app.example.com, app.example.com, https://app.example.com/path"),
            ("CAUSEWAY_PUBLIC_URL_VAULTS", "https://api.example.com/?tenant=acme"),
            ("CAUSEWAY_RATE_LIMIT", "-1"),
            ("CAUSEWAY_AUDIT_DAYS", "a year"),
        ]))
        .unwrap_err();
        let named: Vec<&str> = error.0.iter().map(|problem| problem.variable.as_str()).collect();
        assert_eq!(
            named,
            [
                "CAUSEWAY_STACK",
                "CAUSEWAY_TABLE",
                "AWS_REGION",
                "AWS_ENDPOINT_URL_DYNAMODB",
                "CAUSEWAY_ENDPOINT_RESEND",
                "CAUSEWAY_ENDPOINT_SLAK",
                "CAUSEWAY_EGRESS_ALLOW",
                "CAUSEWAY_OAUTH_VERCEL_CLIENT_SECRET",
                "CAUSEWAY_REDIRECT_ORIGINS",
                "CAUSEWAY_REDIRECT_ORIGINS",
                "CAUSEWAY_PUBLIC_URL_VAULTS",
                "CAUSEWAY_RATE_LIMIT",
                "CAUSEWAY_AUDIT_DAYS",
            ]
        );
    }

    fn oidc(pairs: &[(&str, &str)]) -> Result<Option<OidcConfig>, Vec<String>> {
        let read = EgressConfig::from_variables(variables(pairs));
        read.map(|egress| egress.oidc).map_err(|error| error.0.into_iter().map(|problem| problem.variable).collect())
    }

    #[test]
    fn an_issuer_is_read_whole_or_not_at_all() {
        const ISSUER: (&str, &str) = ("CAUSEWAY_OIDC_ISSUER", "https://id.example.com/realms/main/");
        const AUDIENCE: (&str, &str) = ("CAUSEWAY_OIDC_AUDIENCE", "causeway");
        assert_eq!(oidc(&[]).unwrap(), None);
        // As the template sets them when there is no issuer.
        let defaults = [("CAUSEWAY_OIDC_ISSUER", ""), ("CAUSEWAY_OIDC_TENANT_CLAIM", "tenant")];
        assert_eq!(oidc(&defaults).unwrap(), None);
        let plain = oidc(&[ISSUER, AUDIENCE]).unwrap().unwrap();
        assert_eq!(plain, OidcConfig::new("https://id.example.com/realms/main/", "causeway"));
        let all = oidc(&[
            ISSUER,
            AUDIENCE,
            ("CAUSEWAY_OIDC_TENANT_CLAIM", "https://example.com/tenant"),
            ("CAUSEWAY_OIDC_USER_CLAIM", "email"),
            ("CAUSEWAY_OIDC_PERMISSIONS_CLAIM", "scope"),
            ("CAUSEWAY_OIDC_ALGORITHM", "ES256"),
        ]);
        let all = all.unwrap().unwrap();
        assert_eq!((all.tenant_claim.as_str(), all.user_claim.as_str()), ("https://example.com/tenant", "email"));
        assert_eq!((all.permissions_claim.as_str(), all.algorithm), ("scope", SigningAlgorithm::Es256));

        assert_eq!(oidc(&[ISSUER]).unwrap_err(), ["CAUSEWAY_OIDC_AUDIENCE"]);
        assert_eq!(oidc(&[AUDIENCE]).unwrap_err(), ["CAUSEWAY_OIDC_ISSUER"]);
        for issuer in
            ["id.example.com", "http://id.example.com", "https://a:b@id.example.com", "https://x.example/?a=b"]
        {
            let read = oidc(&[("CAUSEWAY_OIDC_ISSUER", issuer), AUDIENCE]);
            assert_eq!(read.unwrap_err(), ["CAUSEWAY_OIDC_ISSUER"], "{issuer}");
        }
        assert!(oidc(&[("CAUSEWAY_OIDC_ISSUER", "http://127.0.0.1:9000"), AUDIENCE]).is_ok());
        for algorithm in ["none", "HS256", "rs256", "RS384", "ES512"] {
            let read = oidc(&[ISSUER, AUDIENCE, ("CAUSEWAY_OIDC_ALGORITHM", algorithm)]);
            assert_eq!(read.unwrap_err(), ["CAUSEWAY_OIDC_ALGORITHM"], "{algorithm}");
        }
    }

    #[test]
    fn a_complete_environment_is_read() {
        let config = Config::from_variables(variables(&[
            ("CAUSEWAY_STACK", "causeway"),
            ("CAUSEWAY_TABLE", "causeway-table"),
            ("CAUSEWAY_KMS_KEY", "arn:aws:kms:eu-central-1:123456789012:key/k"),
            ("AWS_REGION", "eu-central-1"),
            ("CAUSEWAY_ENDPOINT_SLACK_API", "http://127.0.0.1:9/base"),
            ("CAUSEWAY_EGRESS_ALLOW", "127.0.0.1:9000,internal.example:443"),
            ("CAUSEWAY_ETHERSCAN_API_KEY", " s3cret "),
            ("CAUSEWAY_OAUTH_VERCEL_CLIENT_ID", "oac_1"),
            ("CAUSEWAY_OAUTH_VERCEL_CLIENT_SECRET", "s3cret too"),
            ("CAUSEWAY_OAUTH_VERCEL_SLUG", "causeway"),
            ("CAUSEWAY_REDIRECT_ORIGINS", "https://app.example.com/,http://localhost:5173"),
            ("CAUSEWAY_PUBLIC_URL_VAULTS", "https://api.example.com/integrations/"),
            ("CAUSEWAY_RATE_LIMIT", "0"),
        ]))
        .unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
        let client = &config.egress.oauth["vercel"];
        assert_eq!((client.id.as_str(), client.slug.as_deref()), ("oac_1", Some("causeway")));
        assert_eq!(config.egress.redirect_origins, ["https://app.example.com", "http://localhost:5173"]);
        assert_eq!(config.egress.public_url_vaults.as_deref(), Some("https://api.example.com/integrations"));
        assert_eq!(config.egress.keys[&Upstream::Etherscan].expose_secret(), "s3cret");
        assert_eq!(config.policy, Policy { rate_limit: 0, audit_days: 400 });
        assert_eq!(config.aws.table, "causeway-table");
        assert_eq!(config.aws.kms_key.as_deref(), Some("arn:aws:kms:eu-central-1:123456789012:key/k"));
        assert_eq!(config.egress.endpoints.len(), 1);
        assert_eq!(config.egress.allow.len(), 2);
    }
}
