//! What Secrets Manager and the table say of one another: for proving that they agree.

use std::collections::{BTreeMap, BTreeSet};

use kit::TestApp;

/// Every labelled version of a secret, with its labels.
pub(crate) async fn labels(app: &TestApp, secret: &str) -> BTreeMap<String, BTreeSet<String>> {
    let described = app.secrets.describe_secret().secret_id(secret).send().await.unwrap();
    let versions = described.version_ids_to_stages.unwrap_or_default().into_iter();
    versions.map(|(version, labels)| (version, labels.into_iter().collect())).collect()
}

/// The secrets that integrations name, with the version they name.
pub(crate) async fn named_versions(app: &TestApp) -> BTreeMap<String, String> {
    let items = app.table.scan().table_name("causeway").send().await.unwrap();
    let named = items.items().iter().filter_map(|item| {
        let (tenant, group) = item.get("pk")?.as_s().ok()?.strip_prefix("T#")?.split_once('#')?;
        let id = item.get("sk")?.as_s().ok()?.strip_prefix("I#")?;
        let version = item.get("secret")?.as_m().ok()?.get("version")?.as_s().ok()?;
        Some((format!("causeway/{tenant}/{group}/{id}"), version.clone()))
    });
    named.collect()
}

/// Every version that an integration names has a label, without which it would be forgotten.
pub(crate) async fn assert_kept(app: &TestApp) {
    for (secret, version) in named_versions(app).await {
        let labels = labels(app, &secret).await;
        assert!(labels.contains_key(&version), "{secret} {version} is not among {labels:?}");
    }
}

/// There is one secret for each integration that has one and no other, and of its versions the named one is current and
/// no other is kept.
pub(crate) async fn assert_tidy(app: &TestApp) {
    let named = named_versions(app).await;
    let secrets: BTreeSet<String> = app.secret_names().await.into_iter().collect();
    assert_eq!(secrets, named.keys().cloned().collect(), "secrets and integrations must go together");
    for (secret, version) in named {
        for (labelled, labels) in labels(app, &secret).await {
            let is_current = labels.contains("AWSCURRENT");
            let is_kept = labels.iter().any(|label| label.starts_with("keep-"));
            let is_named = labelled == version;
            assert!(is_current == is_named && (is_named || !is_kept), "{secret} {labelled}, not {version}: {labels:?}");
        }
    }
}
