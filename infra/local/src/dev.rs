//! `causeway dev`: the whole stack on one port.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fakes::{Demo, Fakes};
use shared::Platform;
use shared::clock::Ids;
use shared::config::{AwsConfig, Config, ConfigError, EgressConfig, OAuthClient, Policy};
use shared::egress::Upstream;
use shared::table::TableError;
use url::Url;

use crate::demo::{self, AwsEntry, DemoTenant, DevFile, GroupEntry};
use crate::emulators::{Data, DataFolder, EmulatorError, Emulators};
use crate::secrets_manager;
use crate::stack::{GROUPS, Stack, StackError};
use crate::template::{Template, TemplateError};

/// Options of `causeway dev`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The port that everything answers on; 0 picks a free one.
    #[arg(long, default_value_t = 3000)]
    pub port: u16,
    /// The folder that everything is kept in.
    #[arg(long, default_value = ".causeway", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Empty the data folder first; otherwise what is there is used.
    #[arg(long)]
    pub fresh: bool,
    /// Let stateful fakes stand for the outside providers, so that everything works offline.
    #[arg(long)]
    pub sandbox: bool,
}

impl Options {
    /// What `causeway` without a command means.
    #[must_use]
    pub fn sandbox() -> Self {
        Self { port: 3000, data_dir: ".causeway".into(), fresh: false, sandbox: true }
    }
}

/// Why the stack could not be started. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// See [`EmulatorError`].
    #[error(transparent)]
    Emulators(#[from] EmulatorError),
    /// See [`StackError`].
    #[error(transparent)]
    Stack(#[from] StackError),
    /// See [`TemplateError`].
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The demo tenants could not be made.
    #[error("the demo tenants could not be made: {0}")]
    Tenants(#[source] TableError),
    /// The sandbox's fakes could not be started.
    #[error("the sandbox could not be started: {0}")]
    Sandbox(#[source] io::Error),
    /// `dev.json` could not be written.
    #[error("dev.json could not be written to {}: {source}", folder.display())]
    DevFile {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Ctrl-C and termination signals could not be listened for.
    #[error("signals could not be listened for: {0}")]
    Signals(#[source] io::Error),
    /// Standard output is closed.
    #[error("standard output could not be written: {0}")]
    Output(#[source] io::Error),
}

/// How many requests a token may send in a minute unless the operator says otherwise: enough for whatever a developer's
/// machine does, with the headers there to be seen.
const RATE_LIMIT: u32 = 60_000;

/// Runs the stack until Ctrl-C or a termination signal.
///
/// # Errors
/// [`DevError`] if it cannot be started.
pub async fn run(options: Options) -> Result<(), DevError> {
    let started = Instant::now();
    let template = Template::embedded()?;
    let listener = Stack::bind(options.port).await?;
    let folder = DataFolder::open(&options.data_dir, options.fresh)?;
    let earlier = DevFile::read(folder.path()).map(|file| file.tenants).unwrap_or_default();
    let mut egress = EgressConfig::from_variables(std::env::vars())?;
    let port = listener.local_addr().map_err(DevError::Sandbox)?.port();
    let sandbox = if options.sandbox { Some(Sandbox::start(&mut egress, port).await?) } else { None };

    let secrets = secrets_manager::Options::default();
    let emulators = Emulators::start(&template, "causeway", Data::Folder(folder), secrets).await?;
    let aws = AwsConfig::emulated(emulators.dynamodb, emulators.secrets_manager);
    let file = AwsEntry {
        dynamodb_endpoint: format!("http://{}", emulators.dynamodb),
        secretsmanager_endpoint: format!("http://{}", emulators.secrets_manager),
        table: aws.table.clone(),
    };
    let policy = Policy::from_variables(std::env::vars(), Policy { rate_limit: RATE_LIMIT, ..Policy::default() })?;
    let platform = Platform::new(&Config { aws, egress, policy }, Ids::default());
    let tenants = demo::tenants(&platform, earlier).await.map_err(DevError::Tenants)?;
    let stack = Stack::serve(listener, &platform, &template, Some(emulators.stream()?)).await?;
    let url = stack.url();
    let base_url = |base: &str| GroupEntry { base_url: format!("{url}{base}") };
    let groups: BTreeMap<_, _> = GROUPS.iter().map(|group| (group.name.to_owned(), base_url(group.base))).collect();
    let file = DevFile { url: url.clone(), groups, tenants, aws: file };
    // Before anyone can know that it is ready, so that whoever waits for that can end it in good order.
    let interrupted = interrupted().map_err(DevError::Signals)?;
    let unwritable = |source| DevError::DevFile { folder: options.data_dir.clone(), source };
    file.write(&options.data_dir).map_err(unwritable)?;

    let ready = Ready { file: &file, folder: &options.data_dir, sandbox: sandbox.as_ref(), started };
    ready.print(&mut io::stdout().lock()).map_err(DevError::Output)?;
    interrupted.await;
    // Whoever read the output may be gone by now, which must not keep the rest from happening.
    let _ = writeln!(io::stdout(), "\nStopping. What was acknowledged is kept in {}.", options.data_dir.display());
    stack.stop().await;
    emulators.stop().await;
    Ok(())
}

/// The fakes that stand for the outside providers, and credentials that work there.
struct Sandbox {
    demo: Demo,
    /// Where Vercel's API is.
    vercel: String,
    _fakes: Fakes,
}

impl Sandbox {
    /// Starts the fakes and points egress at them; what the operator has set already stays.
    async fn start(egress: &mut EgressConfig, port: u16) -> Result<Self, DevError> {
        let fakes = Fakes::start().await.map_err(DevError::Sandbox)?;
        redirect(egress, &fakes);
        let base = egress.public_url_vaults.clone().unwrap_or_else(|| format!("http://127.0.0.1:{port}/vaults"));
        for (provider, client) in fakes.add_oauth_clients(&base) {
            let client = OAuthClient { id: client.id, secret: client.secret.into(), slug: Some(client.slug) };
            egress.oauth.entry(provider.to_owned()).or_insert(client);
        }
        // An operator's own setting stays, and then the printed lines speak to that.
        let vercel = Upstream::named("VERCEL").and_then(|vercel| egress.endpoints.get(&vercel)).map(Url::as_str);
        let vercel = vercel.unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Self { demo: fakes.seed_demo(), vercel, _fakes: fakes })
    }
}

/// Points egress at the fakes.
pub fn redirect(egress: &mut EgressConfig, fakes: &Fakes) {
    for (name, key) in fakes.operator_keys() {
        if let Some(upstream) = Upstream::named(name).filter(|upstream| !egress.endpoints.contains_key(upstream)) {
            egress.keys.entry(upstream).or_insert_with(|| key.into());
        }
    }
    for (name, url) in fakes.endpoints() {
        if let (Some(upstream), Ok(url)) = (Upstream::named(name), Url::parse(&url)) {
            egress.endpoints.entry(upstream).or_insert(url);
        }
    }
    egress.allow.extend(fakes.user_addresses().iter().filter_map(|address| shared::egress::Allowed::parse(address)));
}

/// Listens for Ctrl-C and for a termination signal from now on; what it returns ends with the first of them.
fn interrupted() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// The message that the stack is ready.
struct Ready<'a> {
    file: &'a DevFile,
    folder: &'a Path,
    sandbox: Option<&'a Sandbox>,
    started: Instant,
}

impl Ready<'_> {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mode =
            if self.sandbox.is_some() { "sandbox: the outside providers are fakes" } else { "the real providers" };
        writeln!(
            out,
            "Causeway is ready at {} after {:.1} s ({mode}).\n",
            self.file.url,
            self.started.elapsed().as_secs_f32()
        )?;
        for group in GROUPS {
            if let Some(entry) = self.file.groups.get(group.name) {
                writeln!(out, "  {:<10}{}{}", group.name, entry.base_url, group.path)?;
            }
        }
        writeln!(out, "\n  data      {} (kept; --fresh empties it)", self.folder.display())?;
        writeln!(out, "  tokens    {}", self.folder.join(demo::FILE).display())?;
        let Some(tenant) = self.file.tenants.first() else { return Ok(()) };
        writeln!(out, "\nPaste these into another terminal:\n")?;
        if let Some(wallets) = self.file.groups.get("wallets") {
            self.wallets(out, &wallets.base_url, tenant)?;
        }
        if let Some(services) = self.file.groups.get("services") {
            self.services(out, &services.base_url, tenant)?;
        }
        if let Some(keys) = self.file.groups.get("keys") {
            self.keys(out, &keys.base_url, tenant)?;
        }
        if let Some(vaults) = self.file.groups.get("vaults") {
            self.vaults(out, &vaults.base_url, tenant)?;
        }
        writeln!(out, "\nCtrl-C stops it.")
    }

    fn wallets(&self, out: &mut impl Write, base: &str, tenant: &DemoTenant) -> io::Result<()> {
        writeln!(
            out,
            "# wallets: connect a Bitcoin address and an exchange, see their histories come in; import a file, one row of it bad"
        )?;
        writeln!(out, "API={base}/v1/integrations")?;
        writeln!(out, "AUTH='Authorization: Bearer {}'", tenant.tokens.admin)?;
        writeln!(out, "CLIENT='X-Client-Id: {}' SECRET='X-Client-Secret: {}'", tenant.client_id, tenant.client_secret)?;
        match self.sandbox {
            Some(Sandbox { demo, .. }) => {
                writeln!(out, "ADDRESS={}", demo.bitcoin_address)?;
                writeln!(out, "KRAKEN_KEY={} KRAKEN_SECRET={}", demo.kraken_api_key, demo.kraken_api_secret)?;
            }
            None => {
                writeln!(out, "ADDRESS=bc1…   # put an address of your own here")?;
                writeln!(out, "KRAKEN_KEY=… KRAKEN_SECRET=…   # put a key of your own here, one that can only read")?;
            }
        }
        writeln!(out, "{}", WALLETS_LINES)
    }

    fn services(&self, out: &mut impl Write, base: &str, tenant: &DemoTenant) -> io::Result<()> {
        writeln!(out, "\n# services: connect Slack, send through it, see a test fail, take it away")?;
        writeln!(out, "API={base}/api/integrations")?;
        writeln!(out, "AUTH='Authorization: Bearer {}'", tenant.tokens.admin)?;
        match self.sandbox {
            Some(Sandbox { demo, .. }) => writeln!(out, "SLACK_WEBHOOK_URL={}", demo.slack_webhook_url)?,
            None => writeln!(out, "SLACK_WEBHOOK_URL=https://hooks.slack.com/services/…   # put your own here")?,
        }
        writeln!(out, "{}", SERVICES_LINES)
    }

    fn keys(&self, out: &mut impl Write, base: &str, tenant: &DemoTenant) -> io::Result<()> {
        writeln!(out, "\n# keys: pool two keys, see the second take over and fail, and watch it heal")?;
        writeln!(out, "API={base}/api/v1/integrations")?;
        writeln!(out, "MONITOR={}/2015-03-31/functions/keys-monitor/invocations", self.file.url)?;
        writeln!(out, "AUTH='Authorization: Bearer {}'", tenant.tokens.admin)?;
        match self.sandbox {
            Some(Sandbox { demo, .. }) => {
                let [first, second] = &demo.openrouter_api_keys;
                writeln!(out, "KEY_1={first} KEY_2={second}")?;
            }
            None => writeln!(out, "KEY_1=sk-or-v1-… KEY_2=sk-or-v1-…   # put two OpenRouter keys of your own here")?,
        }
        writeln!(out, "{}", KEYS_LINES)
    }

    fn vaults(&self, out: &mut impl Write, base: &str, tenant: &DemoTenant) -> io::Result<()> {
        writeln!(
            out,
            "\n# vaults: make a vault, connect Vercel, push; change a value there, see it and pull it; roll back"
        )?;
        writeln!(out, "API={base}/v1")?;
        writeln!(out, "AUTH='Authorization: Bearer {}'", tenant.tokens.admin)?;
        let connect = match self.sandbox {
            Some(Sandbox { demo, vercel, .. }) => {
                let (token, team, project) = (&demo.vercel_token, &demo.vercel_team_id, &demo.vercel_project_id);
                writeln!(out, "VERCEL={vercel} TOKEN={token} TEAM={team} PROJECT={project}")?;
                VAULTS_CONSENT_LINES
            }
            None => {
                writeln!(
                    out,
                    "VERCEL=https://api.vercel.com TOKEN=vcp_… TEAM=team_… PROJECT=prj_…   # put your own here"
                )?;
                VAULTS_TOKEN_LINES
            }
        };
        writeln!(out, "{VAULTS_MAKE_LINES}\n{connect}\n{VAULTS_SYNC_LINES}")
    }
}

/// Nothing but curl, grep and head is needed.
const WALLETS_LINES: &str = r#"ask() { curl -sS -H "$AUTH" -H "$CLIENT" -H "$SECRET" -H 'Content-Type: application/json' "$@"; }
ID=$(ask $API -d '{"provider":"bitcoin","address":"'$ADDRESS'","alias":"Cold storage"}' | grep -o 'wal_[a-z0-9]*' | head -n 1); echo connected $ID
until ask $API/$ID | grep '"status":"COMPLETED"' >/dev/null; do sleep 0.2; done
ask "$API?searchedKey=cold"; echo
ask "$API/$ID/transactions?limit=2"; echo
ask -X DELETE $API/$ID; echo deleted $ID
ID=$(ask $API -d '{"provider":"kraken","alias":"Trading","credentials":{"apiKey":"'$KRAKEN_KEY'","apiSecret":"'$KRAKEN_SECRET'"}}' | grep -o 'wal_[a-z0-9]*' | head -n 1); echo connected $ID
until ask $API/$ID | grep '"status":"COMPLETED"' >/dev/null; do sleep 0.2; done
ask $API/$ID; echo
ask -X DELETE $API/$ID; echo deleted $ID
REPORT=$(printf '%s\n' 'Date(UTC),Pair,Side,Price,Executed,Amount,Fee' '2024-01-05 10:00:00,BTCUSDT,BUY,42000,0.01BTC,420USDT,0.00001BTC' '2024-01-06 10:00:00,BTCUSDT,SELL,44000,some,440USDT,0.44USDT' | curl -sS "$API/csv?alias=Old%20trades" -H "$AUTH" -H "$CLIENT" -H "$SECRET" -H 'Content-Type: text/csv' --data-binary @-); echo "$REPORT"
ID=$(echo "$REPORT" | grep -o 'wal_[a-z0-9]*' | head -n 1); ask $API/$ID | grep -o '"status":"COMPLETED"'
ask -X DELETE $API/$ID; echo deleted $ID"#;

/// The same for the services group. `$JSON` keeps the lines short.
const SERVICES_LINES: &str = r#"JSON='Content-Type: application/json'
ID=$(curl -sS $API -H "$AUTH" -H "$JSON" -d '{"name":"My Slack","type":"slack","config":{"webhookUrl":"'$SLACK_WEBHOOK_URL'"}}' | grep -o 'int_[a-z0-9]*' | head -n 1); echo created $ID
curl -sS $API -H "$AUTH"; echo
curl -sS $API/$ID -H "$AUTH"; echo
curl -sS -X POST $API/$ID/test -H "$AUTH"; echo
curl -sS $API/$ID/send -H "$AUTH" -H "$JSON" -d '{"title":"Hello","text":"from Causeway"}'; echo
curl -sS $API/$ID/test -H "$AUTH" -H "$JSON" -d '{"configOverrides":{"webhookUrl":"https://hooks.slack.com/services/T0/B0/mistyped"}}'; echo
curl -sS -X DELETE $API/$ID -H "$AUTH"; echo"#;

/// The same for the keys group.
const KEYS_LINES: &str = r#"JSON='Content-Type: application/json'
pool() { curl -sS $API -H "$AUTH" -H "$JSON" -d '{"provider_name":"openrouter","key_label":"'$1'","credentials":{"api_key":"'$2'"}'${3-}'}' | grep -o '"id":[0-9]*' | head -n 1 | cut -d : -f 2; }
FIRST=$(pool First $KEY_1 ',"is_primary":true,"daily_limit":2'); SECOND=$(pool Second $KEY_2); echo pooled $FIRST and $SECOND
acquire() { GRANT=$(curl -sS $API/acquire -H "$AUTH" -H "$JSON" -d '{"provider_name":"openrouter"}'); LEASE=$(echo "$GRANT" | grep -o '"lease_id":"[^"]*"' | cut -d '"' -f 4); }
for try in 1 2 3; do acquire; echo "$GRANT" | grep -o '"key_label":"[^"]*"'; done
for try in 1 2 3; do acquire; curl -sS $API/report -H "$AUTH" -H "$JSON" -d '{"lease_id":"'$LEASE'","outcome":"error"}'; echo; done
curl -sS $API/health -H "$AUTH"; echo
curl -sS $MONITOR -d '{"id":"'$(date +%s%N)'","time":"'$(date -u +%FT%TZ)'","detail-type":"Scheduled Event"}'; echo
curl -sS $API/health -H "$AUTH"; echo
for ID in $FIRST $SECOND; do curl -sS -X DELETE $API/$ID -H "$AUTH"; echo; done"#;

/// The same for the vaults group, which is in three parts: a vault is made,
const VAULTS_MAKE_LINES: &str = r#"ask() { curl -sS -H "$AUTH" -H 'Content-Type: application/json' "$@"; }
ask -X PUT $API/vaults/acme/app; echo
VERSION=$(ask -X PUT $API/vaults/acme/app/environments/production/secrets -d '{"DATABASE_URL":"postgres://db","API_KEY":"k-123456"}' | grep -o '"version":[0-9]*' | cut -d : -f 2); echo wrote version $VERSION"#;

/// an account is connected, on the fake's page of consent: by who opens it in a browser, and by curl in the browser's place,
const VAULTS_CONSENT_LINES: &str = r#"consent() { ask -H 'Accept: application/json' $API/integrations/vercel/authorize | grep -o 'http[^"]*'; }
echo "To connect in a browser, open this page and choose Allow: $(consent)"
PAGE=$(consent); curl -sS -L "${PAGE%%/integrations/*}$(curl -sS "$PAGE" | grep -o '/consent/[0-9]*/allow')" | grep -o 'The Vercel account.*connected'
CONNECTION=$(ask $API/integrations/connections | grep -o '"id":"[^"]*","provider":"vercel"' | head -n 1 | cut -d '"' -f 4); echo connected $CONNECTION"#;

/// or with a token, where the page is a real one,
const VAULTS_TOKEN_LINES: &str = r#"CONNECTION=$(ask $API/integrations/vercel/connect -d '{"token":"'$TOKEN'","account":"'$TEAM'"}' | grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4); echo connected $CONNECTION"#;

/// and both sides are synced. `curl` alone speaks to Vercel, as somebody else would who changes a value there.
const VAULTS_SYNC_LINES: &str = r#"ask $API/integrations/connections/$CONNECTION/projects; echo
SYNC=$API/integrations/vaults/acme/app/sync BETWEEN="connectionId=$CONNECTION&projectId=$PROJECT"
ask "$SYNC/status?$BETWEEN"; echo
ask "$SYNC/preview?$BETWEEN"; echo
sync() { ask $SYNC -d '{"connectionId":"'$CONNECTION'","projectId":"'$PROJECT'","direction":"'$1'"}'; echo; }
sync push
ask "$SYNC/preview?$BETWEEN"; echo
curl -sS "$VERCEL/v10/projects/$PROJECT/env?upsert=true&teamId=$TEAM" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"key":"API_KEY","value":"k-changed","type":"encrypted","target":["production"]}'; echo
ask "$SYNC/diff?$BETWEEN"; echo
ask "$SYNC/preview?$BETWEEN&direction=pull"; echo
sync pull
ask $API/vaults/acme/app/environments/production/secrets; echo
ask $API/vaults/acme/app/environments/production/rollback -d '{"version":'$VERSION'}'; echo
ask $API/vaults/acme/app/environments/production/secrets; echo
sync push
ask "$SYNC/history?limit=3"; echo
ask -X DELETE $API/integrations/connections/$CONNECTION; echo disconnected $CONNECTION"#;
