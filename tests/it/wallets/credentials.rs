//! What makes two credentials the same account, and what becomes of their secrets when they change: the store's part of
//! `POST` and `PATCH /v1/integrations`, with accounts of a made-up exchange.

use kit::TestApp;
use secrecy::SecretString;
use serde_json::json;
use shared::auth::Tenant;
use shared::http::ApiError;
use wallets::model::{Integration, Status, Tempo};
use wallets::providers::{Account, Checked, Entry, entry};
use wallets::store::{Integrations, NewCredentials, NewIntegration};

struct Scene {
    app: TestApp,
    store: Integrations,
    tenant: Tenant,
    entry: &'static Entry,
}

impl Scene {
    async fn set() -> Self {
        let app = TestApp::start().await;
        let store = Integrations::new(&app.platform);
        Self { app, store, tenant: Tenant::parse("acme").unwrap(), entry: entry("bitcoin").unwrap() }
    }

    async fn create(&self, key: &str, account_id: Option<&str>) -> Result<Integration, ApiError> {
        let new = NewIntegration {
            entry: self.entry,
            source: "exchange",
            account: account(key),
            alias: None,
            account_name: None,
            checked: checked(account_id),
            tempo: Tempo::default(),
        };
        self.store.create(&self.tenant, &self.app.platform.ids.reserve(), new).await
    }

    async fn change(&self, of: &Integration, key: &str, account_id: Option<&str>) -> Result<Integration, ApiError> {
        let new = NewCredentials { account: account(key), checked: checked(account_id), tempo: Tempo::default() };
        self.store.change_credentials(&self.tenant, &of.wallet_id, new, |one| one.alias = Some("Changed".into())).await
    }

    /// The API key that the integration is asked with.
    async fn key_of(&self, integration: &Integration) -> String {
        let stored = self.store.read(&self.tenant, &integration.wallet_id).await.unwrap();
        let (_, document) = self.store.account(&self.tenant, &stored).await.unwrap().secret_document().unwrap();
        let document: serde_json::Value = serde_json::from_str(shared::credentials::disclose(&document)).unwrap();
        document["apiKey"].as_str().unwrap().to_owned()
    }

    /// How many things are held as a tenant's only ones.
    async fn identities(&self) -> usize {
        self.app.all_items().await.matches("S(\"U#").count()
    }
}

fn account(key: &str) -> Account {
    let mut account = Account { identities: vec![format!("key:{key}")], ..Account::default() };
    account.secrets.insert("apiKey".into(), SecretString::from(key));
    account
}

fn checked(account_id: Option<&str>) -> Checked {
    Checked { account_id: account_id.map(str::to_owned), ..Checked::default() }
}

#[track_caller]
fn existing<T: std::fmt::Debug>(refused: Result<T, ApiError>) -> String {
    match refused {
        Err(ApiError::Conflict { existing: Some(id), .. }) => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_key_or_another_key_of_the_same_account_is_the_same_account() {
    let scene = Scene::set().await;
    let one = scene.create("k1", Some("u1")).await.unwrap();
    for (key, account_id) in [("k1", Some("u1")), ("k1", None), ("k2", Some("u1")), ("k1", Some("u2"))] {
        assert_eq!(existing(scene.create(key, account_id).await), one.wallet_id.as_str(), "{key} {account_id:?}");
    }
    scene.create("k2", Some("u2")).await.unwrap();
    scene.create("k3", None).await.unwrap();
    assert_eq!(scene.app.secret_names().await.len(), 3, "those that were refused took their secrets back");
    assert_eq!(scene.identities().await, 5);
}

#[tokio::test]
async fn a_new_key_takes_the_old_ones_place_and_begins_a_sync() {
    let scene = Scene::set().await;
    let one = scene.create("k1", Some("u1")).await.unwrap();
    let changed = scene.change(&one, "k2", Some("u1")).await.unwrap();
    assert_eq!((changed.status, changed.alias.as_deref()), (Status::Queued, Some("Changed")));
    assert!(changed.sync.fence > one.sync.fence, "a worker with the old key has lost it");
    assert_eq!(scene.key_of(&one).await, "k2");
    assert_eq!(existing(scene.create("k2", None).await), one.wallet_id.as_str());
    scene.create("k1", Some("u9")).await.unwrap();
    assert_eq!(scene.identities().await, 4);
    scene.store.delete(&scene.tenant, &one.wallet_id).await.unwrap();
    scene.create("k2", Some("u1")).await.unwrap();
}

#[tokio::test]
async fn another_accounts_key_is_refused_and_the_old_one_stays() {
    let scene = Scene::set().await;
    let one = scene.create("k1", Some("u1")).await.unwrap();
    let other = scene.create("k2", None).await.unwrap();
    assert!(matches!(scene.change(&one, "k3", Some("u3")).await, Err(ApiError::Conflict { existing: None, .. })));
    assert_eq!(existing(scene.change(&one, "k2", Some("u1")).await), other.wallet_id.as_str());
    assert_eq!(existing(scene.change(&other, "k4", Some("u1")).await), one.wallet_id.as_str());
    assert_eq!((scene.key_of(&one).await, scene.key_of(&other).await), ("k1".into(), "k2".into()));
    assert_eq!(scene.identities().await, 3);
    // An account that could not be told at first is learned.
    let changed = scene.change(&other, "k5", Some("u5")).await.unwrap();
    assert!(changed.account_identity.is_some());
    assert_eq!(existing(scene.create("k6", Some("u5")).await), other.wallet_id.as_str());
    // One that could not be told this time is kept.
    scene.change(&other, "k7", None).await.unwrap();
    assert_eq!(existing(scene.create("k8", Some("u5")).await), other.wallet_id.as_str());
}

#[tokio::test]
async fn changes_at_once_end_with_one_of_them_whole() {
    let scene = Scene::set().await;
    let one = scene.create("k0", Some("u1")).await.unwrap();
    let keys = ["k1", "k2", "k3", "k4"];
    let changes = keys.map(|key| scene.change(&one, key, Some("u1")));
    let outcomes = futures::future::join_all(changes).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let kept = scene.key_of(&one).await;
    assert!(keys.contains(&kept.as_str()));
    assert_eq!(existing(scene.create(&kept, None).await), one.wallet_id.as_str());
    for key in keys.iter().filter(|key| **key != kept) {
        let created = scene.create(key, None).await.unwrap();
        scene.store.delete(&scene.tenant, &created.wallet_id).await.unwrap();
    }
    assert_eq!(scene.identities().await, 2);
    scene.app.advance(61);
    let swept = scene.app.invoke("sweep", &scene.app.scheduled_event_in(7_200)).await.expect(200);
    assert!(swept["finished"] == json!(true), "{swept}");
    assert_eq!(scene.key_of(&one).await, kept);
    assert_eq!(scene.app.secret_names().await.len(), 1);
}

#[tokio::test]
async fn a_sync_begins_where_the_test_of_the_credential_stopped_counting() {
    let scene = Scene::set().await;
    let new = |last_nonce: u64| Tempo { last_nonce, clock_offset_ms: 7, ..Tempo::default() };
    let one = NewIntegration {
        entry: scene.entry,
        source: "exchange",
        account: account("k1"),
        alias: None,
        account_name: None,
        checked: checked(None),
        tempo: new(100),
    };
    let one = scene.store.create(&scene.tenant, &scene.app.platform.ids.reserve(), one).await.unwrap();
    let state = async || scene.store.state(&scene.tenant, &one.wallet_id).await.unwrap();
    assert_eq!(state().await.tempo, new(100));
    for (used, expected) in [(200, 200), (150, 200)] {
        let change = NewCredentials { account: account("k1"), checked: checked(None), tempo: new(used) };
        scene.store.change_credentials(&scene.tenant, &one.wallet_id, change, |_| {}).await.unwrap();
        assert_eq!(state().await.tempo.last_nonce, expected, "a nonce is never used again");
    }
}
