//! Stateful fakes of the outside providers that integrations talk to, on real sockets of 127.0.0.1.
//!
//! They serve two masters in the same way: the black-box tests, and the local stack's sandbox, where every printed line
//! must work without an account anywhere. A fake reproduces its provider's contract: what it accepts, how it refuses,
//! which of its answers mislead. It does not merely record what it is sent. Each module says what it reproduces and
//! where the facts come from, and which of them rest on reports rather than on documentation.
//!
//! How it works. [`Fakes::start`] binds one free port for each host that a provider has. A fake is a handle that is cheap
//! to clone: methods arrange the provider's state (add a webhook, revoke a token, verify a domain) and read what came of
//! it (`messages()`). Its [`Host`] has the requests as they came in and the [`Faults`] switch. Sockets close and
//! connections end when the last handle is dropped.
//!
//! Nothing is known to a fresh fake, so any credential is refused as the provider refuses unknown ones, until it is
//! added; [`Fakes::seed_demo`] adds one that works of each kind.

pub mod ai;
pub mod ai_gateway;
pub mod chains;
mod demo;
pub mod discord;
pub mod esplora;
pub mod evm;
pub mod exchanges;
pub mod fault;
mod host;
pub mod issuer;
pub mod platforms;
pub mod resend;
pub mod sendgrid;
pub mod slack;
pub mod solana;
pub mod telegram;
pub mod webhook;
mod wire;

use std::io;

use crate::ai::AiProviders;
use crate::ai_gateway::{AiGateway, OpenAiCompatible};
use crate::chains::blockscout::Blockscout;
use crate::chains::etherscan::Etherscan;
use crate::chains::ledger::Ledger;
pub use crate::demo::{BITCOIN_TRANSACTIONS, Demo, KRAKEN_TRANSACTIONS};
use crate::discord::Discord;
use crate::esplora::Esplora;
use crate::evm::EvmNode;
use crate::exchanges::binance::Binance;
use crate::exchanges::bitfinex::Bitfinex;
use crate::exchanges::bybit::Bybit;
use crate::exchanges::coinbase::Coinbase;
use crate::exchanges::gemini::Gemini;
use crate::exchanges::kraken::Kraken;
use crate::exchanges::kucoin::Kucoin;
use crate::exchanges::okx::Okx;
pub use crate::fault::{Answer, Fault, Faults};
pub use crate::host::{Host, Recorded};
use crate::platforms::cloudflare::Cloudflare;
use crate::platforms::fly::Fly;
use crate::platforms::github::Github;
use crate::platforms::heroku::Heroku;
use crate::platforms::netlify::Netlify;
use crate::platforms::railway::Railway;
use crate::platforms::render::Render;
use crate::platforms::supabase::Supabase;
use crate::platforms::vercel::Vercel;
use crate::resend::Resend;
use crate::sendgrid::SendGrid;
use crate::slack::Slack;
use crate::solana::Solana;
use crate::telegram::Telegram;
use crate::webhook::WebhookReceiver;

/// One fake of each provider.
#[derive(Clone, Debug)]
pub struct Fakes {
    /// Slack's API and webhooks.
    pub slack: Slack,
    /// Discord's webhooks.
    pub discord: Discord,
    /// Telegram's Bot API.
    pub telegram: Telegram,
    /// SendGrid, the global region.
    pub sendgrid: SendGrid,
    /// SendGrid, the region of the European Union.
    pub sendgrid_eu: SendGrid,
    /// Resend.
    pub resend: Resend,
    /// Vercel's AI Gateway.
    pub ai_gateway: AiGateway,
    /// Another gateway, addressed by its base URL.
    pub openai_compatible: OpenAiCompatible,
    /// The providers of AI and search keys.
    pub ai: AiProviders,
    /// A user's own receiver of webhooks.
    pub webhook: WebhookReceiver,
    /// A node of EVM chains.
    pub evm: EvmNode,
    /// What happened on EVM chains: what their explorers tell.
    pub ledger: Ledger,
    /// Etherscan, and Routescan.
    pub etherscan: Etherscan,
    /// Blockscout.
    pub blockscout: Blockscout,
    /// An Esplora server of Bitcoin.
    pub esplora: Esplora,
    /// A node of Solana.
    pub solana: Solana,
    /// Binance's spot and wallet API.
    pub binance: Binance,
    /// Bitfinex's API.
    pub bitfinex: Bitfinex,
    /// Bybit's API, version 5.
    pub bybit: Bybit,
    /// Coinbase's API for its app.
    pub coinbase: Coinbase,
    /// Gemini's API.
    pub gemini: Gemini,
    /// Kraken's spot API.
    pub kraken: Kraken,
    /// KuCoin's spot API.
    pub kucoin: Kucoin,
    /// OKX's API, version 5.
    pub okx: Okx,
    /// Vercel.
    pub vercel: Vercel,
    /// Railway.
    pub railway: Railway,
    /// Netlify.
    pub netlify: Netlify,
    /// Fly.io.
    pub fly: Fly,
    /// Cloudflare.
    pub cloudflare: Cloudflare,
    /// GitHub.
    pub github: Github,
    /// Render.
    pub render: Render,
    /// Heroku.
    pub heroku: Heroku,
    /// Supabase.
    pub supabase: Supabase,
}

impl Fakes {
    /// Starts every fake, empty, on a free port of its own. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        let ledger = Ledger::default();
        Ok(Self {
            slack: Slack::start().await?,
            discord: Discord::start().await?,
            telegram: Telegram::start().await?,
            sendgrid: SendGrid::start().await?,
            sendgrid_eu: SendGrid::start().await?,
            resend: Resend::start().await?,
            ai_gateway: AiGateway::start().await?,
            openai_compatible: OpenAiCompatible::start().await?,
            ai: AiProviders::start().await?,
            webhook: WebhookReceiver::start().await?,
            evm: EvmNode::start().await?,
            etherscan: Etherscan::start(&ledger).await?,
            blockscout: Blockscout::start(&ledger).await?,
            ledger,
            esplora: Esplora::start().await?,
            solana: Solana::start().await?,
            binance: Binance::start().await?,
            bitfinex: Bitfinex::start().await?,
            bybit: Bybit::start().await?,
            coinbase: Coinbase::start().await?,
            gemini: Gemini::start().await?,
            kraken: Kraken::start().await?,
            kucoin: Kucoin::start().await?,
            okx: Okx::start().await?,
            vercel: Vercel::start().await?,
            railway: Railway::start().await?,
            netlify: Netlify::start().await?,
            fly: Fly::start().await?,
            cloudflare: Cloudflare::start().await?,
            github: Github::start().await?,
            render: Render::start().await?,
            heroku: Heroku::start().await?,
            supabase: Supabase::start().await?,
        })
    }

    /// Upstream names and the origins that stand for the providers' own.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(&'static str, String)> {
        let mut endpoints = vec![
            ("SLACK_API", self.slack.api.origin()),
            ("SLACK_HOOKS", self.slack.hooks.origin()),
            ("DISCORD", self.discord.host.origin()),
            ("TELEGRAM", self.telegram.host.origin()),
            ("SENDGRID", self.sendgrid.host.origin()),
            ("SENDGRID_EU", self.sendgrid_eu.host.origin()),
            ("RESEND", self.resend.host.origin()),
            ("AI_GATEWAY", self.ai_gateway.host.origin()),
            ("ETHERSCAN", self.etherscan.host.origin()),
            ("ROUTESCAN", self.etherscan.host.origin()),
            ("BLOCKSCOUT", self.blockscout.host.origin()),
            ("EVM_RPC_1", self.evm.public_url(1)),
            ("EVM_RPC_10", self.evm.public_url(10)),
            ("EVM_RPC_56", self.evm.public_url(56)),
            ("EVM_RPC_137", self.evm.public_url(137)),
            ("EVM_RPC_8453", self.evm.public_url(8453)),
            ("EVM_RPC_42161", self.evm.public_url(42161)),
            ("EVM_RPC_43114", self.evm.public_url(43114)),
            ("ESPLORA", self.esplora.host.origin()),
            ("SOLANA_RPC", self.solana.host.origin()),
            ("BINANCE", self.binance.host.origin()),
            ("BITFINEX", self.bitfinex.host.origin()),
            ("BYBIT", self.bybit.host.origin()),
            ("COINBASE", self.coinbase.host.origin()),
            ("GEMINI", self.gemini.host.origin()),
            ("KRAKEN", self.kraken.host.origin()),
            ("KUCOIN", self.kucoin.host.origin()),
            ("OKX", self.okx.host.origin()),
            ("VERCEL", self.vercel.host.origin()),
            ("VERCEL_WEB", self.vercel.web.origin()),
            ("RAILWAY", self.railway.host.origin()),
            ("RAILWAY_GRAPHQL", self.railway.host.origin()),
            ("NETLIFY", self.netlify.host.origin()),
            ("NETLIFY_WEB", self.netlify.web.origin()),
            ("FLY", self.fly.host.origin()),
            ("FLY_GRAPHQL", self.fly.host.origin()),
            ("CLOUDFLARE", self.cloudflare.host.origin()),
            ("GITHUB", self.github.host.origin()),
            ("GITHUB_WEB", self.github.web.origin()),
            ("RENDER", self.render.host.origin()),
            ("HEROKU", self.heroku.host.origin()),
            ("HEROKU_ID", self.heroku.id.origin()),
            ("SUPABASE", self.supabase.host.origin()),
        ];
        endpoints.extend(self.ai.all().into_iter().map(|(name, provider)| (name, provider.host.origin())));
        endpoints
    }

    /// Upstream names and the operator's keys with those fakes that answer nobody without one.
    #[must_use]
    pub fn operator_keys(&self) -> Vec<(&'static str, &'static str)> {
        vec![("BLOCKSCOUT", Blockscout::KEY)]
    }

    /// `host:port` of the fakes that users address by URL, which an egress guard must let through.
    #[must_use]
    pub fn user_addresses(&self) -> Vec<String> {
        [self.webhook.address(), self.evm.address(), self.openai_compatible.address()]
            .map(|address| address.to_string())
            .to_vec()
    }
}
