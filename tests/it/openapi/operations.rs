//! For each operation of the four documents: a call that succeeds, what it names, and what another tenant meets. An
//! operation without a row here fails the tests.

use http::Method;
use kit::{Answer, Client, TestApp};
use serde_json::{Value, json};
use shared::auth::{Grant, Permission, Tenant};

use super::Described;

/// What is there before anything is called: something of each group, all of it `acme`'s.
pub(super) struct World {
    pub(super) app: TestApp,
    service: String,
    key: String,
    lease: String,
    wallet: String,
    connection: String,
}

/// A request of an operation.
pub(super) struct Call {
    path: String,
    body: Body,
}

enum Body {
    None,
    Json(Value),
    Csv(&'static str),
}

/// What another tenant meets that sends the same.
pub(super) enum Stranger {
    /// What is named is not there for it: 404, as for this that is nowhere.
    Misses(fn(&World) -> String, &'static str),
    /// Nothing of a tenant's is named; it gets its own.
    HasItsOwn,
}

/// One operation.
pub(super) struct Row {
    pub(super) group: &'static str,
    pub(super) id: &'static str,
    /// The status of a call that succeeds.
    pub(super) status: u16,
    pub(super) call: fn(&World) -> Call,
    pub(super) stranger: Stranger,
}

/// For everybody.
pub(super) const PUBLIC: [&str; 2] = ["list_providers of vaults", "complete_authorization of vaults"];

const NO_WALLET: &str = "wal_000000000000000000000";
const NO_SERVICE: &str = "int_000000000000000000000";
const NO_KEY: &str = "999999";
const NO_CONNECTION: &str = "550e8400-e29b-41d4-a716-446655440000";
const CSV: &str = "timestamp,type,sent_amount,sent_asset,received_amount,received_asset,fee_amount,fee_asset,external_id\n\
    2024-01-05T10:00:00Z,deposit,,,1,BTC,,,a\nsome day,deposit,,,1,BTC,,,b\n";

impl World {
    pub(super) async fn made() -> Self {
        let app = TestApp::start().await;
        let (services, keys, wallets, vaults) = (app.services(), app.keys(), app.wallets(), app.vaults());
        let slack = json!({ "name": "one", "type": "slack", "config": { "webhookUrl": app.demo.slack_webhook_url } });
        let service = services.post("/api/integrations", &slack).await.str("/id");
        // Ids of keys count from 1 in each tenant: the second one's is not the id of a key that another makes.
        let first = json!({ "provider_name": "groq", "credentials": { "api_key": app.demo.groq_api_key } });
        let _ = keys.post("/api/v1/integrations", &first).await.expect(201);
        let key =
            json!({ "provider_name": "openrouter", "credentials": { "api_key": app.demo.openrouter_api_keys[0] } });
        let key = keys.post("/api/v1/integrations", &key).await.expect(201)["integration"]["id"].to_string();
        let wanted = json!({ "provider_name": "openrouter" });
        let lease = keys.post("/api/v1/integrations/acquire", &wanted).await.str("/lease_id");
        let address = json!({ "provider": "bitcoin", "address": app.demo.bitcoin_address });
        let wallet = wallets.post("/v1/integrations", &address).await.str("/walletId");
        let _ = app.invoke("wallets-sync", &app.scheduled_event()).await.expect(200);
        let token = json!({ "token": app.demo.vercel_token });
        let connection = vaults.post("/v1/integrations/vercel/connect", &token).await.str("/data/id");
        let secrets = json!({ "ONE": "1", "TWO": "2" });
        let _ = vaults.put("/v1/vaults/acme/app/environments/production/secrets", &secrets).await.expect(200);
        Self { app, service, key, lease, wallet, connection }
    }

    /// A client of a group for a tenant with these permissions, and only these.
    pub(super) async fn client(&self, group: &str, tenant: &str, permissions: &[Permission]) -> Client {
        let demo = self.app.tenant(tenant);
        let grant = Grant {
            tenant: Tenant::parse(tenant).unwrap(),
            user: "someone".into(),
            name: "a test".into(),
            permissions: permissions.to_vec(),
            expires_at: None,
            client: Some((demo.client_id.clone(), demo.client_secret.clone().into())),
        };
        let minted = self.app.platform.tokens.mint(grant).await.unwrap();
        let token = minted.token.reveal();
        match group {
            "wallets" => self.app.wallets_as(demo, token),
            "services" => self.app.services_as(token),
            "keys" => self.app.keys_as(token),
            _ => self.app.vaults_as(token),
        }
    }
}

impl Call {
    fn to(path: impl Into<String>) -> Self {
        Self { path: path.into(), body: Body::None }
    }

    fn with(self, body: Value) -> Self {
        Self { body: Body::Json(body), ..self }
    }

    /// The same with another name for what it is about.
    pub(super) fn about(self, present: &str, other: &str) -> Self {
        // A short id is a part of a path, and must not be found elsewhere.
        let short = present.len() < 8;
        let body = match self.body {
            Body::Json(body) if !short => {
                Body::Json(serde_json::from_str(&body.to_string().replace(present, other)).unwrap())
            }
            body => body,
        };
        let path = if short {
            self.path.replace(&format!("/{present}"), &format!("/{other}"))
        } else {
            self.path.replace(present, other)
        };
        Self { path, body }
    }

    /// Sends it.
    pub(super) async fn send(self, client: &Client, method: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let client = client.clone().header("accept", "application/json");
        match self.body {
            Body::None => client.send(method, &self.path, "").await,
            Body::Json(body) => {
                client.header("content-type", "application/json").send(method, &self.path, body.to_string()).await
            }
            Body::Csv(text) => client.header("content-type", "text/csv").send(method, &self.path, text).await,
        }
    }
}

impl Row {
    /// True if the row is of this operation.
    pub(super) fn is_of(&self, group: &str, described: &Described) -> bool {
        self.group == group && self.id == described.id
    }

    pub(super) fn is_public(&self) -> bool {
        PUBLIC.contains(&format!("{} of {}", self.id, self.group).as_str())
    }
}

fn sync_of(world: &World) -> Value {
    json!({ "connectionId": world.connection, "projectId": world.app.demo.vercel_project_id })
}

fn compared(world: &World, what: &str) -> Call {
    let (connection, project) = (&world.connection, &world.app.demo.vercel_project_id);
    Call::to(format!("{SYNC}/{what}?connectionId={connection}&projectId={project}"))
}

const SYNC: &str = "/v1/integrations/vaults/acme/app/sync";
const ENVIRONMENT: &str = "/v1/vaults/acme/app/environments/production";
const KEYS: &str = "/api/v1/integrations";
const SERVICES: &str = "/api/integrations";
const WALLETS: &str = "/v1/integrations";

const OWN_SERVICE: Stranger = Stranger::Misses(|world| world.service.clone(), NO_SERVICE);
const OWN_KEY: Stranger = Stranger::Misses(|world| world.key.clone(), NO_KEY);
const OWN_WALLET: Stranger = Stranger::Misses(|world| world.wallet.clone(), NO_WALLET);
const OWN_CONNECTION: Stranger = Stranger::Misses(|world| world.connection.clone(), NO_CONNECTION);
const OWN_VAULT: Stranger = Stranger::Misses(|_| "acme/app".into(), "acme/none");

fn row(group: &'static str, id: &'static str, status: u16, call: fn(&World) -> Call, stranger: Stranger) -> Row {
    Row { group, id, status, call, stranger }
}

/// Every operation, in an order in which each finds what it needs: what deletes comes last.
pub(super) fn rows() -> Vec<Row> {
    [wallets(), services(), keys(), vaults()].into_iter().flatten().collect()
}

fn wallets() -> Vec<Row> {
    use Stranger::HasItsOwn;
    let row = |id, status, call, stranger| row("wallets", id, status, call, stranger);
    vec![
        row("list_providers", 200, |_| Call::to("/v1/providers"), HasItsOwn),
        row("list_integrations", 200, |_| Call::to(WALLETS), HasItsOwn),
        row(
            "create_integration",
            201,
            |_| {
                Call::to(WALLETS)
                    .with(json!({ "provider": "bitcoin", "address": "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g" }))
            },
            HasItsOwn,
        ),
        row("get_integration", 200, |world| Call::to(format!("{WALLETS}/{}", world.wallet)), OWN_WALLET),
        row(
            "update_integration",
            200,
            |world| Call::to(format!("{WALLETS}/{}", world.wallet)).with(json!({ "alias": "mine" })),
            OWN_WALLET,
        ),
        row("list_transactions", 200, |world| Call::to(format!("{WALLETS}/{}/transactions", world.wallet)), OWN_WALLET),
        row("sync_integration", 202, |world| Call::to(format!("{WALLETS}/{}/sync", world.wallet)), OWN_WALLET),
        row("import_csv", 201, |_| Call { path: format!("{WALLETS}/csv?alias=file"), body: Body::Csv(CSV) }, HasItsOwn),
        row("delete_integration", 204, |world| Call::to(format!("{WALLETS}/{}", world.wallet)), OWN_WALLET),
    ]
}

fn services() -> Vec<Row> {
    use Stranger::HasItsOwn;
    let row = |id, status, call, stranger| row("services", id, status, call, stranger);
    fn slack(world: &World) -> Value {
        json!({ "type": "slack", "config": { "webhookUrl": world.app.demo.slack_webhook_url } })
    }
    vec![
        row("list_integration_types", 200, |_| Call::to("/api/integration-types"), HasItsOwn),
        row("list_integrations", 200, |_| Call::to(SERVICES), HasItsOwn),
        row(
            "create_integration",
            201,
            |world| {
                let mut body = slack(world);
                body["name"] = json!("another");
                Call::to(SERVICES).with(body)
            },
            HasItsOwn,
        ),
        row("try_integration", 200, |world| Call::to(format!("{SERVICES}/test")).with(slack(world)), HasItsOwn),
        row("test_integration", 200, |world| Call::to(format!("{SERVICES}/{}/test", world.service)), OWN_SERVICE),
        row("get_integration", 200, |world| Call::to(format!("{SERVICES}/{}", world.service)), OWN_SERVICE),
        row(
            "update_integration",
            200,
            |world| Call::to(format!("{SERVICES}/{}", world.service)).with(json!({ "name": "renamed" })),
            OWN_SERVICE,
        ),
        row(
            "send_message",
            200,
            |world| Call::to(format!("{SERVICES}/{}/send", world.service)).with(json!({ "text": "hello" })),
            OWN_SERVICE,
        ),
        row("delete_integration", 200, |world| Call::to(format!("{SERVICES}/{}", world.service)), OWN_SERVICE),
    ]
}

fn keys() -> Vec<Row> {
    use Stranger::HasItsOwn;
    let row = |id, status, call, stranger| row("keys", id, status, call, stranger);
    vec![
        row("list_integrations", 200, |_| Call::to(KEYS), HasItsOwn),
        row(
            "create_integration",
            201,
            |world| {
                let credentials = json!({ "api_key": world.app.demo.deepseek_api_key });
                Call::to(KEYS).with(json!({ "provider_name": "deepseek", "credentials": credentials }))
            },
            HasItsOwn,
        ),
        row("get_integration", 200, |world| Call::to(format!("{KEYS}/{}", world.key)), OWN_KEY),
        row(
            "update_integration",
            200,
            |world| {
                let limit = json!({ "daily_limit": 100, "spend_limit_amount": 5.5 });
                Call::to(format!("{KEYS}/{}", world.key)).with(limit)
            },
            OWN_KEY,
        ),
        row(
            "rotate_integration",
            200,
            |world| {
                let credentials = json!({ "api_key": world.app.demo.openrouter_api_keys[1] });
                Call::to(format!("{KEYS}/{}/rotate", world.key)).with(json!({ "credentials": credentials }))
            },
            OWN_KEY,
        ),
        row("test_integration", 200, |world| Call::to(format!("{KEYS}/{}/test", world.key)), OWN_KEY),
        row("reset_integration", 200, |world| Call::to(format!("{KEYS}/{}/reset", world.key)), OWN_KEY),
        row("get_health", 200, |_| Call::to(format!("{KEYS}/health")), HasItsOwn),
        row("sync_billing", 200, |_| Call::to(format!("{KEYS}/sync-billing")), HasItsOwn),
        row("get_usage", 200, |world| Call::to(format!("{KEYS}/{}/usage", world.key)), OWN_KEY),
        row(
            "acquire_integration",
            200,
            |_| Call::to(format!("{KEYS}/acquire")).with(json!({ "provider_name": "openrouter" })),
            Stranger::Misses(|_| "openrouter".into(), "nobody-has-it"),
        ),
        row(
            "report_lease",
            200,
            |world| Call::to(format!("{KEYS}/report")).with(json!({ "lease_id": world.lease, "outcome": "success" })),
            Stranger::Misses(|world| world.lease.clone(), "no-such-lease"),
        ),
        row("delete_integration", 200, |world| Call::to(format!("{KEYS}/{}", world.key)), OWN_KEY),
    ]
}

fn vaults() -> Vec<Row> {
    use Stranger::HasItsOwn;
    let row = |id, status, call, stranger| row("vaults", id, status, call, stranger);
    vec![
        row("list_providers", 200, |_| Call::to(WALLETS), HasItsOwn),
        row("complete_authorization", 400, |_| Call::to("/v1/integrations/vercel/callback?state=x&code=y"), HasItsOwn),
        row("list_connections", 200, |_| Call::to("/v1/integrations/connections"), HasItsOwn),
        row("authorize_provider", 200, |_| Call::to("/v1/integrations/vercel/authorize"), HasItsOwn),
        row(
            "connect_provider",
            201,
            |world| {
                let token = json!({ "token": world.app.demo.vercel_token });
                Call::to("/v1/integrations/vercel/connect").with(token)
            },
            HasItsOwn,
        ),
        row(
            "list_projects",
            200,
            |world| Call::to(format!("/v1/integrations/connections/{}/projects", world.connection)),
            OWN_CONNECTION,
        ),
        row("get_sync_status", 200, |world| compared(world, "status"), OWN_CONNECTION),
        row("preview_sync", 200, |world| compared(world, "preview"), OWN_CONNECTION),
        row("execute_sync", 200, |world| Call::to(SYNC).with(sync_of(world)), OWN_CONNECTION),
        row("get_sync_diff", 200, |world| compared(world, "diff"), OWN_CONNECTION),
        row("list_sync_runs", 200, |_| Call::to(format!("{SYNC}/history")), OWN_VAULT),
        row(
            "set_sync_link",
            200,
            |world| {
                let mut link = sync_of(world);
                link["auto"] = json!(true);
                Call::to(format!("{SYNC}/links")).with(link)
            },
            OWN_CONNECTION,
        ),
        row("list_sync_links", 200, |_| Call::to(format!("{SYNC}/links")), OWN_VAULT),
        row("list_vaults", 200, |_| Call::to("/v1/vaults"), HasItsOwn),
        row("get_secrets", 200, |_| Call::to(format!("{ENVIRONMENT}/secrets")), OWN_VAULT),
        row("list_versions", 200, |_| Call::to(format!("{ENVIRONMENT}/versions")), OWN_VAULT),
        row(
            "rollback_secrets",
            200,
            |_| Call::to(format!("{ENVIRONMENT}/rollback")).with(json!({ "version": 1 })),
            OWN_VAULT,
        ),
        // From here on another tenant has a vault of this name too.
        row("put_vault", 200, |_| Call::to("/v1/vaults/acme/app"), HasItsOwn),
        row(
            "replace_secrets",
            200,
            |_| Call::to("/v1/vaults/acme/app/environments/staging/secrets").with(json!({ "A": "1", "B": null })),
            HasItsOwn,
        ),
        row(
            "update_secrets",
            200,
            |_| Call::to("/v1/vaults/acme/app/environments/staging/secrets").with(json!({ "A": null, "C": "3" })),
            HasItsOwn,
        ),
        row(
            "delete_connection",
            204,
            |world| Call::to(format!("/v1/integrations/connections/{}", world.connection)),
            OWN_CONNECTION,
        ),
    ]
}

/// What must not be in an answer to another tenant.
pub(super) fn marks(world: &World) -> [&String; 4] {
    [&world.service, &world.wallet, &world.connection, &world.lease]
}
