//! One working credential of each kind, for the sandbox to print and for tests to start from.
//!
//! The values are plainly no real ones and are the same in every run, ports apart. Those that look like a provider's
//! secret are put together here, so that no scanner of source code takes one for a leak.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::json;

use crate::Fakes;
use crate::ai::AiKey;
use crate::discord::DiscordWebhook;
use crate::exchanges::kraken::KrakenKey;
use crate::platforms::heroku::HerokuToken;
use crate::platforms::netlify::NetlifyToken;
use crate::platforms::railway::RailwayReach;
use crate::platforms::render::RenderKey;
use crate::platforms::vercel::{VercelRecord, VercelToken};
use crate::platforms::{OAuthClient, Reach};
use crate::resend::ResendPermission;
use crate::slack::{SlackBot, SlackChannel, SlackHook};
use crate::telegram::{TelegramBot, TelegramChat, TelegramChatKind};
use crate::webhook::WebhookEndpoint;

/// Sepolia, a test network.
const CHAIN_ID: u64 = 11_155_111;
/// An address out of EIP-55's own examples.
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
/// The address of Bitcoin's first block.
const BITCOIN_ADDRESS: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
/// How many transactions its history has here: more than a page.
pub const BITCOIN_TRANSACTIONS: usize = 60;
/// So much happened in the demo's account at Kraken: as many deposits as trades.
pub const KRAKEN_TRANSACTIONS: usize = 20;
/// When that began, in seconds since 1970.
const KRAKEN_BEGAN: f64 = 1_750_000_000.0;
/// The 32 bytes behind the webhook's signing secret.
const SIGNING_SECRET: &[u8; 32] = b"causeway-sandbox-webhook-secret!";

/// One working credential of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Demo {
    /// An incoming webhook of Slack, posting to `slack_channel`.
    pub slack_webhook_url: String,
    /// A bot token of Slack that may post.
    pub slack_bot_token: String,
    /// The id of a channel that the bot is in.
    pub slack_channel: String,
    /// An incoming webhook of Discord.
    pub discord_webhook_url: String,
    /// A bot of Telegram.
    pub telegram_bot_token: String,
    /// A chat that the bot may write to.
    pub telegram_chat_id: String,
    /// A key of SendGrid's global region that may send.
    pub sendgrid_api_key: String,
    /// A key of SendGrid's European region that may send.
    pub sendgrid_eu_api_key: String,
    /// A sender that is verified with SendGrid, in both regions.
    pub sendgrid_from_email: String,
    /// A key of Resend that may do everything.
    pub resend_api_key: String,
    /// A sender of a domain that is verified with Resend.
    pub resend_from_email: String,
    /// A receiver of webhooks that checks signatures.
    pub webhook_url: String,
    /// The secret that it checks them with.
    pub webhook_signing_secret: String,
    /// A node of `evm_chain_id`, with its key in the path.
    pub evm_rpc_url: String,
    /// The chain of the node.
    pub evm_chain_id: u64,
    /// An address with a valid checksum.
    pub evm_address: String,
    /// A key of Vercel's AI Gateway.
    pub ai_gateway_api_key: String,
    /// The base URL of another gateway, whose catalogue checks keys.
    pub openai_compatible_base_url: String,
    /// A key of that gateway.
    pub openai_compatible_api_key: String,
    /// Two keys of OpenRouter, with a balance each.
    pub openrouter_api_keys: [String; 2],
    /// A key of Groq, which tells no balance.
    pub groq_api_key: String,
    /// A key of DeepSeek, with a balance.
    pub deepseek_api_key: String,
    /// A token of Vercel for one team.
    pub vercel_token: String,
    /// That team.
    pub vercel_team_id: String,
    /// A project of that team, with variables of its own.
    pub vercel_project_id: String,
    /// A key of Kraken that can only read, of an account with a history of [`KRAKEN_TRANSACTIONS`] transactions.
    pub kraken_api_key: String,
    /// Its secret.
    pub kraken_api_secret: String,
    /// A Bitcoin address with a history of [`BITCOIN_TRANSACTIONS`] transactions.
    pub bitcoin_address: String,
}

impl Fakes {
    /// Adds an OAuth client to each platform whose accounts are connected by OAuth, for callbacks under the vaults group's
    /// `base_url`; with the platform's name.
    #[must_use]
    pub fn add_oauth_clients(&self, base_url: &str) -> Vec<(&'static str, OAuthClient)> {
        let client = |platform: &str| {
            let secret = format!("{platform}-sandbox-not-a-real-secret");
            let callback = format!("{base_url}/v1/integrations/{platform}/callback");
            OAuthClient::new(&format!("causeway-{platform}"), &secret, &callback)
        };
        let [vercel, railway, netlify] = ["vercel", "railway", "netlify"].map(client);
        let [github, heroku, supabase] = ["github", "heroku", "supabase"].map(client);
        self.vercel.add_client(vercel.clone());
        self.railway.add_client(railway.clone());
        self.netlify.add_client(netlify.clone());
        self.github.add_client(github.clone());
        self.heroku.add_client(heroku.clone());
        self.supabase.add_client(supabase.clone());
        vec![
            ("vercel", vercel),
            ("railway", railway),
            ("netlify", netlify),
            ("github", github),
            ("heroku", heroku),
            ("supabase", supabase),
        ]
    }

    /// The token that can be pasted to connect a platform but Vercel in the sandbox.
    #[must_use]
    pub fn platform_token(platform: &str) -> String {
        format!("{platform}_sandbox_not_a_real_token")
    }

    /// An account with a project to connect at each of the other platforms, by OAuth where there is a client and by token.
    fn seed_other_platforms(&self) {
        let (user, token) = (|| "user_sandbox".to_owned(), Self::platform_token);
        self.railway.add_workspace("ws_sandbox", "Sandbox");
        self.railway.add_project("prj_sandbox", "my-app", "ws_sandbox");
        self.railway.add_environment("prj_sandbox", "env_sandbox", "production", false);
        let (workspaces, projects) = (vec!["ws_sandbox".to_owned()], Vec::new());
        self.railway.consent_as(RailwayReach::Grant { user: user(), workspaces, projects, writes: true });
        self.railway.add_token(&token("railway"), RailwayReach::Workspace("ws_sandbox".to_owned()));
        self.netlify.add_account("acc_sandbox", "Sandbox", true);
        self.netlify.add_site("site_sandbox", "my-app", "acc_sandbox", Some("acme/app"));
        let of_team = NetlifyToken { user: user(), accounts: vec!["acc_sandbox".to_owned()], read_only: false };
        self.netlify.consent_as(of_team.clone());
        self.netlify.add_token(&token("netlify"), of_team);
        self.heroku.add_app("app_sandbox", "my-app", "user_sandbox");
        let of_user = HerokuToken { user: user(), read_only: false };
        self.heroku.consent_as(of_user.clone());
        self.heroku.add_token(&token("heroku"), of_user);
        let reach = Reach::of("sandbox", &["sandbox"]);
        self.fly.add_organisation("sandbox", "Sandbox");
        self.fly.add_app("my-app", "sandbox");
        self.fly.add_token(&token("fly"), reach.clone());
        self.cloudflare.add_account("sandbox", "Sandbox");
        self.cloudflare.add_worker("sandbox", "my-app");
        self.cloudflare.add_token(&token("cloudflare"), reach.clone());
        self.github.add_repository("sandbox", "my-app", &["production"]);
        self.github.consent_as(reach.clone());
        self.github.add_token(&token("github"), reach.clone());
        self.supabase.add_organisation("sandbox", "Sandbox");
        self.supabase.add_project("my-app", "my-app", "sandbox");
        self.supabase.consent_as(reach.clone());
        self.supabase.add_token(&token("supabase"), reach);
        self.render.add_owner("sandbox", "Sandbox");
        self.render.add_service("srv-sandbox", "my-app", "sandbox", None);
        self.render.add_key(&token("render"), RenderKey { owners: vec!["sandbox".to_owned()], read_only: false });
    }

    /// Adds one working credential of each kind and returns them. Doing so again changes nothing.
    #[must_use]
    pub fn seed_demo(&self) -> Demo {
        let slack_channel = "C0SANDBOX".to_owned();
        self.slack.add_channel(SlackChannel::new(&slack_channel, "alerts"));
        let slack_webhook_url = self.slack.add_hook(SlackHook {
            team: "T0SANDBOX".to_owned(),
            service: "B0SANDBOX".to_owned(),
            secret: format!("{}123", "Sandbox".repeat(3)),
            channel: slack_channel.clone(),
        });
        let slack_bot_token = "xoxb-sandbox-not-a-real-token".to_owned();
        self.slack.add_bot(SlackBot::new(&slack_bot_token));

        let discord_token = format!("{}Sandb", "Sandbox-_".repeat(7));
        let discord_webhook_url = self.discord.add_webhook(DiscordWebhook::new("100000000000000001", &discord_token));

        let telegram_bot_token = format!("123456789:{}", "Sandbox".repeat(5));
        self.telegram.add_bot(TelegramBot {
            token: telegram_bot_token.clone(),
            username: "causeway_sandbox_bot".to_owned(),
            first_name: "Causeway sandbox".to_owned(),
        });
        let telegram_chat_id = -1_001_000_000_001;
        self.telegram.add_chat(TelegramChat::new(telegram_chat_id, TelegramChatKind::Supergroup, "Alerts"));

        let sendgrid_key = |region: &str| format!("SG.{}{region}.{}S", "Sandbox".repeat(2), "Sandbox".repeat(6));
        let (sendgrid_api_key, sendgrid_eu_api_key) = (sendgrid_key("--global"), sendgrid_key("--europe"));
        let sender = "alerts@sandbox.example".to_owned();
        for (region, key) in [(&self.sendgrid, &sendgrid_api_key), (&self.sendgrid_eu, &sendgrid_eu_api_key)] {
            region.add_key(key, &["mail.send", "sender_verification_eligible"]);
            region.forget_sender(&sender);
            region.verify_sender(&sender);
        }

        let resend_api_key = "re_sandbox_not_a_real_key".to_owned();
        self.resend.add_key(&resend_api_key, ResendPermission::FullAccess);
        self.resend.verify_domain("sandbox.example");

        let webhook_signing_secret = format!("whsec_{}", STANDARD.encode(SIGNING_SECRET));
        let endpoint = WebhookEndpoint::new("/hook").with_secret(&webhook_signing_secret);
        let webhook_url = self.webhook.add_endpoint(endpoint);

        let evm_rpc_url = self.evm.add_key("sandbox-not-a-real-key", CHAIN_ID);

        let ai_gateway_api_key = "vck_sandbox_not_a_real_key".to_owned();
        self.ai_gateway.add_key(&ai_gateway_api_key, "95.50", "4.50");
        let openai_compatible_api_key = "sk-sandbox-not-a-real-key".to_owned();
        self.openai_compatible.add_key(&openai_compatible_api_key);

        let openrouter_api_keys = ["one", "two"].map(|name| format!("sk-or-v1-sandbox-not-a-real-key-{name}"));
        for (key, balance) in openrouter_api_keys.iter().zip([47.5, 12.25]) {
            self.ai.openrouter.set_key(key, AiKey::with_balance(balance));
        }
        let groq_api_key = format!("gsk_{}", "Sandbox".repeat(5));
        self.ai.groq.add_key(&groq_api_key);
        let deepseek_api_key = "sk-sandbox-deepseek-not-a-real-key".to_owned();
        self.ai.deepseek.set_key(&deepseek_api_key, AiKey::with_balance(9.75));
        if self.esplora.count(BITCOIN_ADDRESS) == 0 {
            self.esplora.receive_many(BITCOIN_ADDRESS, BITCOIN_TRANSACTIONS);
        }
        let kraken_api_key = "SandboxKeyThatIsNotReal".to_owned();
        let kraken_api_secret = STANDARD.encode([7_u8; 64]);
        if !self.kraken.knows(&kraken_api_key) {
            self.kraken.add_key(KrakenKey::reading(&kraken_api_key, &kraken_api_secret));
            let mut time = KRAKEN_BEGAN;
            for _ in 0..KRAKEN_TRANSACTIONS / 2 {
                self.kraken.deposit(&kraken_api_key, time, "ZUSD", "100");
                self.kraken.trade(&kraken_api_key, time + 60.0, ("ZUSD", "-90"), ("XXBT", "0.001"), "0.2");
                time += 86_400.0;
            }
        }

        let vercel_token = "vcp_sandbox_not_a_real_token".to_owned();
        let (team, vercel_project_id) = ("team_sandbox", "prj_sandbox".to_owned());
        if !self.vercel.knows(&vercel_token) {
            self.vercel.add_team(team, "Sandbox");
            self.vercel.add_project(&vercel_project_id, "my-app", team);
            let link = json!({ "type": "github", "org": "acme", "repo": "app", "repoId": 1 });
            self.vercel.describe_project(&vercel_project_id, Some("nextjs"), Some(link));
            let everywhere = ["production", "preview"];
            self.vercel.add_record(&vercel_project_id, VercelRecord::of("FEATURE_FLAGS", "beta", &everywhere));
            self.vercel.consent_as("user_sandbox", Some(team));
            self.seed_other_platforms();
        }
        let reach = VercelToken { user: "user_sandbox".into(), teams: vec![team.into()], ..VercelToken::default() };
        let project = Some(vercel_project_id.clone());
        self.vercel.add_token(&vercel_token, VercelToken { project, ..reach });

        Demo {
            vercel_token,
            vercel_team_id: team.to_owned(),
            vercel_project_id,
            slack_webhook_url,
            slack_bot_token,
            slack_channel,
            discord_webhook_url,
            telegram_bot_token,
            telegram_chat_id: telegram_chat_id.to_string(),
            sendgrid_api_key,
            sendgrid_eu_api_key,
            sendgrid_from_email: sender.clone(),
            resend_api_key,
            resend_from_email: sender,
            webhook_url,
            webhook_signing_secret,
            evm_rpc_url,
            evm_chain_id: CHAIN_ID,
            evm_address: ADDRESS.to_owned(),
            ai_gateway_api_key,
            openai_compatible_base_url: self.openai_compatible.base_url(),
            openai_compatible_api_key,
            openrouter_api_keys,
            groq_api_key,
            deepseek_api_key,
            kraken_api_key,
            kraken_api_secret,
            bitcoin_address: BITCOIN_ADDRESS.to_owned(),
        }
    }
}
