//! What must hold of every parser that meets outside input, whatever the input: it never panics, and what it accepts has
//! the form that the rest of the code relies on.
//!
//! A target is a function over bytes that panics if a promise is broken. `cargo test` runs each over its corpus
//! (`corpus/<target>/`); `.ci/fuzz.sh` lets libFuzzer search on from there for a bounded time. What it finds is put into the
//! corpus, so that it stays found.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use axum::extract::FromRequestParts;
use futures::FutureExt;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};
use shared::auth::Tenant;
use shared::egress::{Allowed, guard};
use shared::http::Query;
use shared::job::Event;
use shared::table::Cursor;
use url::{Host, Url};
use wallets::imports;
use wallets::model::Search;
use wallets::providers::{self, Given};

/// A target: panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("account", account),
    ("api_event", api_event),
    ("csv", csv),
    ("cursor", cursor),
    ("egress", egress),
    ("event", event),
    ("lease", lease),
    ("names", names),
    ("query", query),
    ("search", search),
    ("service_config", service_config),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

fn signing_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"a signing key")
}

/// The first byte chooses among so many; the rest is the input.
fn chosen(data: &[u8], among: usize) -> (usize, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first) % among.max(1), rest))
}

/// An address or an extended public key of a provider: what is read can be read again and is the same account.
fn account(data: &[u8]) {
    let entries = providers::catalogue();
    let (which, rest) = chosen(data, entries.len());
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let entry = entries[which];
    let by_address = Given { address: Some(text.trim().to_owned()), ..Given::default() };
    if let Ok((_, account)) = entry.read(by_address) {
        let canonical = account.public_address.clone();
        let again = entry.read(Given { address: canonical, ..Given::default() });
        let (_, again) = again.unwrap_or_else(|_| panic!("{}: the canonical form of {text:?} is refused", entry.id));
        assert_eq!(again.identities, account.identities, "{}: {text:?}", entry.id);
    }
    let by_key = Given { xpub: Some(SecretString::from(text.trim().to_owned())), ..Given::default() };
    let _ = entry.read(by_key);
    if let Ok(Value::Object(credentials)) = serde_json::from_str(text) {
        let _ = entry.read(Given { credentials, ..Given::default() });
    }
}

/// An event of API Gateway.
fn api_event(data: &[u8]) {
    let _ = serde_json::from_slice::<lambda_http::request::LambdaRequest>(data);
}

/// An exported file: every row is accounted for, and the same file twice gives the same records.
fn csv(data: &[u8]) {
    let (which, rest) = chosen(data, 4);
    let (charset, provider) =
        [(None, None), (Some("utf-16le"), None), (Some("windows-1252"), Some("kraken")), (None, Some("csv"))][which];
    let Ok(import) = imports::read(rest, charset, provider) else { return };
    let again = imports::read(rest, charset, provider).unwrap_or_else(|_| panic!("read once and then refused"));
    assert_eq!((&import.digest, import.rows), (&again.digest, again.rows));
    assert_eq!(import.records, again.records);
}

/// A cursor: what was not sealed for this list with this key is refused, what was is given back.
fn cursor(data: &[u8]) {
    let (key, scope) = (signing_key(), ["acme", "wallets", "list"]);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(position) = Cursor::open(&key, &scope, text) {
        assert_eq!(Cursor::seal(&key, &scope, &position).as_str(), text, "two cursors for one position");
    }
    let sealed = Cursor::seal(&key, &scope, text);
    let opened = Cursor::open(&key, &scope, sealed.as_str());
    assert!(opened.is_none_or(|position| position == text));
    assert_eq!(Cursor::open(&key, &["other", "wallets", "list"], sealed.as_str()), None);
}

/// A URL that a user gives: nothing that is not public gets leave, in whatever form it is written.
fn egress(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Allowed::parse(text);
    let Ok(url) = Url::parse(text) else { return };
    if guard::judge(&url, &[]).is_err() {
        return;
    }
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    assert!(url.username().is_empty() && url.password().is_none(), "{url}");
    match url.host() {
        Some(Host::Ipv4(address)) => assert!(!is_of_this_network(IpAddr::V4(address)), "{url}"),
        Some(Host::Ipv6(address)) => {
            assert!(address.segments()[0] & 0xe000 == 0x2000 || address.to_ipv4_mapped().is_some(), "{url}");
            assert!(!is_of_this_network(address.to_canonical()), "{url}");
        }
        Some(Host::Domain(name)) => assert_ne!(name.trim_end_matches('.'), "localhost", "{url}"),
        None => panic!("{url} names no host"),
    }
}

/// Told apart without the guard's own tables.
fn is_of_this_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}

/// An event of a schedule or of the table's stream.
fn event(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    match Event::parse(value) {
        Ok(Event::Stream(batch)) => drop(batch.keys()),
        Ok(Event::Schedule(event)) => drop(event.is_resume()),
        Err(_) => {}
    }
}

/// A lease's id: nobody can make one up, and what was granted is read as it was written.
fn lease(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (key, tenant) = (signing_key(), Tenant::parse("acme").unwrap_or_else(|| panic!("a tenant's name")));
    assert!(keys::lease::Lease::open(&key, &tenant, text).is_none(), "{text:?} was never granted");
    if let Some(lease) = keys::lease::Lease::parse(text) {
        assert_eq!(keys::lease::Lease::parse(&lease.to_string()), Some(lease.clone()));
        let sealed = lease.seal(&key, &tenant);
        assert_eq!(keys::lease::Lease::open(&key, &tenant, &sealed), Some(lease.clone()));
        let _ = (lease.expires_at(), lease.is_reportable(Timestamp::UNIX_EPOCH));
    }
}

/// Names that become parts of keys in the table and of secrets' names: none can reach into another.
fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let reaches = |text: &str| text.contains(['#', '\0']) || text.is_empty();
    if let Some(tenant) = Tenant::parse(text) {
        assert!(!reaches(tenant.as_str()) && !tenant.as_str().contains('/'), "{text:?}");
    }
    if let Some(environment) = vaults::model::EnvironmentName::parse(text) {
        assert!(!reaches(environment.as_str()) && !environment.as_str().contains('/'), "{text:?}");
    }
    if let Some((owner, repo)) = text.split_once('/')
        && let Some(vault) = vaults::model::VaultName::parse(owner, repo)
    {
        assert_eq!(vault.parts(), (owner, repo));
        assert!(!reaches(vault.as_str()));
    }
    if let Some(id) = wallets::model::WalletId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(!reaches(text) && !text.contains('/'));
    }
}

/// What a browser brings back to a callback, and every other query.
fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(uri) = format!("/v1/integrations/vercel/callback?{text}").parse::<http::Uri>() else { return };
    let mut request = http::Request::new(());
    *request.uri_mut() = uri;
    let (mut parts, ()) = request.into_parts();
    let Some(Ok(mut query)) = Query::from_request_parts(&mut parts, &()).now_or_never() else {
        panic!("a query is read at once and refuses nothing");
    };
    for name in ["state", "code", "error", "iss", "teamId", ""] {
        let _ = query.text(name);
    }
    let page = query.whole("page", 1, 1_000);
    assert!(page.is_none_or(|page| (1..=1_000).contains(&page)));
    assert!(page.is_some() || query.text("page").is_none() || query.finish().is_err(), "dropped without a word");
}

/// What a list is searched for.
fn search(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(search) = Search::of(text) {
        assert!(search.among(Vec::new()).is_empty());
    } else {
        assert!(text.replace("...", "").replace('…', "").trim().is_empty());
    }
}

/// The config of a notification channel, webhooks among them: what is accepted can be written and read again.
fn service_config(data: &[u8]) {
    use services::model::Kind;
    use services::providers::{Config, ConfigChange};
    let (which, rest) = chosen(data, Kind::ALL.len());
    let Ok(Value::Object(given)) = serde_json::from_slice::<Value>(rest) else { return };
    let kind: Kind = Kind::ALL[which];
    let fields = kind.provider().fields();
    let Ok(change) = ConfigChange::parse(fields, "config", given) else { return };
    let config = Config::default().changed_by(change);
    let plain: Map<String, Value> = config.plain();
    let plain = Value::Object(plain).to_string();
    let _ = services::providers::problems(kind, &config, "config");
    let shown = format!("{config:?}");
    for secret in config.confidential() {
        let secret = shared::credentials::disclose(&secret).to_owned();
        // Short ones stand in anything, and what is said in the plain part too is no secret.
        let is_told = secret.chars().count() < 12 || plain.contains(&secret);
        assert!(is_told || !shown.contains(&secret), "printed: {kind:?}");
    }
}
