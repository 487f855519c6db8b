//! The providers whose addresses the code knows.

use url::Url;

macro_rules! upstreams {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $url:literal;)*) => {
        /// An outside provider whose address the code knows, and the operator may override.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Upstream {
            $($(#[$doc])* $variant,)*
        }

        impl Upstream {
            /// Every upstream.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in `CAUSEWAY_ENDPOINT_<name>`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The provider's own base URL: an origin, to which the provider's documented paths are added.
            #[must_use]
            pub fn default_url(self) -> &'static str {
                match self { $(Self::$variant => $url,)* }
            }
        }
    };
}

upstreams! {
    /// Slack's Web API: `/api/auth.test`.
    SlackApi = "SLACK_API", "https://slack.com";
    /// Slack's incoming webhooks: `/services/…`.
    SlackHooks = "SLACK_HOOKS", "https://hooks.slack.com";
    /// Discord: `/api/webhooks/…`.
    Discord = "DISCORD", "https://discord.com";
    /// Telegram's Bot API: `/bot<token>/…`.
    Telegram = "TELEGRAM", "https://api.telegram.org";
    /// SendGrid's global region: `/v3/…`.
    Sendgrid = "SENDGRID", "https://api.sendgrid.com";
    /// SendGrid's European region: `/v3/…`.
    SendgridEu = "SENDGRID_EU", "https://api.eu.sendgrid.com";
    /// Resend: `/domains`, `/emails`.
    Resend = "RESEND", "https://api.resend.com";
    /// Vercel's AI gateway: `/v1/…`.
    AiGateway = "AI_GATEWAY", "https://ai-gateway.vercel.sh";
    /// Binance: `/api/v3/…`, `/sapi/v1/…`.
    Binance = "BINANCE", "https://api.binance.com";
    /// Coinbase: `/v2/…`, `/api/v3/brokerage/…`.
    Coinbase = "COINBASE", "https://api.coinbase.com";
    /// Kraken: `/0/…`.
    Kraken = "KRAKEN", "https://api.kraken.com";
    /// KuCoin: `/api/v1/…`.
    Kucoin = "KUCOIN", "https://api.kucoin.com";
    /// Bybit: `/v5/…`.
    Bybit = "BYBIT", "https://api.bybit.com";
    /// OKX: `/api/v5/…`.
    Okx = "OKX", "https://www.okx.com";
    /// Bitfinex: `/v2/auth/…`.
    Bitfinex = "BITFINEX", "https://api.bitfinex.com";
    /// Gemini: `/v1/…`.
    Gemini = "GEMINI", "https://api.gemini.com";
    /// Etherscan, every chain: `/v2/api?chainid=…`.
    Etherscan = "ETHERSCAN", "https://api.etherscan.io";
    /// Blockscout, every chain: `/{chain_id}/api/v2/…`.
    Blockscout = "BLOCKSCOUT", "https://api.blockscout.com";
    /// An Esplora server of Bitcoin's main network: `/api/…`.
    Esplora = "ESPLORA", "https://blockstream.info";
    /// A Solana node: `POST /`.
    SolanaRpc = "SOLANA_RPC", "https://api.mainnet-beta.solana.com";
}

impl Upstream {
    /// The upstream of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|upstream| upstream.name() == name)
    }

    /// The upstream whose own origin this URL has.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        let origin = url.origin();
        Self::ALL
            .iter()
            .copied()
            .find(|upstream| Url::parse(upstream.default_url()).is_ok_and(|own| own.origin() == origin))
    }
}
