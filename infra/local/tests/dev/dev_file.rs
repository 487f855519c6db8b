//! `dev.json`, which other programs read: its form, who may read it, and what its tokens open.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::process::{Stack, causeway, run};

/// Every group's base URL, behind the stack's own.
const BASES: [(&str, &str); 4] =
    [("wallets", "/wallets/api"), ("services", "/services"), ("keys", "/keys"), ("vaults", "/vaults")];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn it_has_exactly_the_promised_fields() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let file = &stack.file;
    assert_eq!(keys(file), ["url", "groups", "tenants", "aws"]);
    assert!(stack.url().starts_with("http://127.0.0.1:"), "{file}");
    assert!(keys(&file["groups"]).contains(&"services"), "{file}");
    for group in keys(&file["groups"]) {
        let (_, base) = BASES.iter().find(|(name, _)| *name == group).unwrap();
        assert_eq!(file["groups"][group], json!({ "base_url": format!("{}{base}", stack.url()) }));
    }
    assert_eq!(keys(&file["aws"]), ["dynamodb_endpoint", "secretsmanager_endpoint", "table"]);
    assert_eq!(file["aws"]["table"], "causeway");
    let tenants = file["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 2);
    let mut texts = BTreeSet::new();
    for tenant in tenants {
        assert_eq!(keys(tenant), ["name", "user_id", "client_id", "client_secret", "tokens"]);
        assert_eq!(keys(&tenant["tokens"]), ["admin", "read_only", "no_permissions"]);
        texts.extend(["name", "user_id", "client_id", "client_secret"].map(|key| tenant[key].as_str().unwrap()));
        texts.extend(tenant["tokens"].as_object().unwrap().values().map(|token| token.as_str().unwrap()));
    }
    assert_eq!(texts.len(), 14, "two tenants share something: {texts:?}");
}

#[tokio::test]
async fn only_its_owner_may_read_it_and_the_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    for name in ["dev.json", "secrets.db", "secrets.db-wal"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!folder.path().join("dev.json.unfinished").exists());
    assert_eq!(std::fs::read_to_string(folder.path().join(".gitignore")).unwrap(), "*\n");
}

#[tokio::test]
async fn its_aws_addresses_answer() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (endpoint, protocol, target, body) in [
        (
            "dynamodb_endpoint",
            "1.0",
            "DynamoDB_20120810.DescribeTable",
            json!({ "TableName": stack.file["aws"]["table"] }),
        ),
        ("secretsmanager_endpoint", "1.1", "secretsmanager.ListSecrets", json!({})),
    ] {
        let request = http.post(stack.file["aws"][endpoint].as_str().unwrap()).body(body.to_string());
        let request =
            request.header("content-type", format!("application/x-amz-json-{protocol}")).header("x-amz-target", target);
        let credential = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/x/aws4_request, \
                          SignedHeaders=host, Signature=0";
        let answer = request.header("authorization", credential).header("x-amz-date", "20260101T000000Z");
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{target}: {}", answer.text().await.unwrap());
    }
}

#[tokio::test]
async fn its_tokens_open_what_their_names_say() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let id = stack.services().create_slack("one", "https://hooks.slack.com/services/T1/B1/secret").await;
    let path = format!("/{id}");
    let whole = stack.services().expect(200, "GET", &path, None).await;
    assert_eq!(whole["config"]["webhookUrl"], "https://hooks.slack.com/services/T1/B1/secret");

    let read_only = stack.services_as(&stack.token("acme", "read_only"));
    assert_eq!(read_only.expect(200, "GET", &path, None).await["config"], json!({}));
    let refused = read_only.expect(403, "DELETE", &path, None).await;
    assert_eq!(refused["required_scope"], "services:write");

    let no_permissions = stack.services_as(&stack.token("acme", "no_permissions"));
    let refused = no_permissions.expect(403, "GET", "", None).await;
    assert_eq!(refused["required_scope"], "services:read");

    let other_tenant = stack.services_as(&stack.token("globex", "admin"));
    other_tenant.expect(404, "GET", &path, None).await;
}

#[tokio::test]
async fn admin_may_do_everything_and_read_only_may_see_whatever_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(folder.path()).await;
    let list = run(causeway(&["token", "list", "--data-dir", folder.path().to_str().unwrap()])).await;
    let permissions = |tenant: &str, kind: &str| -> BTreeSet<&str> {
        let row = list.printed().lines().find(|row| row.contains(&format!("  {tenant}  user_{tenant}  demo {kind}  ")));
        let (_, names) = row.unwrap().rsplit_once("  ").unwrap();
        names.split(',').filter(|name| !name.is_empty()).collect()
    };
    let all = [
        "integrations:read",
        "integrations:write",
        "services:read",
        "services:secrets",
        "services:write",
        "keys:read",
        "keys:write",
        "keys:use",
        "vaults:read",
        "vaults:write",
        "vaults:sync",
        "secrets:read",
        "secrets:write",
    ];
    for tenant in ["acme", "globex"] {
        assert_eq!(permissions(tenant, "admin"), BTreeSet::from(all));
        let reads = BTreeSet::from(["integrations:read", "services:read", "keys:read", "vaults:read"]);
        assert_eq!(permissions(tenant, "read_only"), reads);
        assert_eq!(permissions(tenant, "no_permissions"), BTreeSet::new());
    }
}
