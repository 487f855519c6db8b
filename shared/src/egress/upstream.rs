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
    /// Gemini: `/v1/…`, `/v2/transfers`.
    Gemini = "GEMINI", "https://api.gemini.com";
    /// Etherscan, every chain: `/v2/api?chainid=…`.
    Etherscan = "ETHERSCAN", "https://api.etherscan.io";
    /// Blockscout, every chain: `/{chain_id}/api/v2/…`.
    Blockscout = "BLOCKSCOUT", "https://api.blockscout.com";
    /// Routescan, Etherscan's API of some chains: `/v2/network/mainnet/evm/{chain_id}/etherscan/api`.
    Routescan = "ROUTESCAN", "https://api.routescan.io";
    /// A node of Ethereum: `POST` to the URL itself.
    EvmRpc1 = "EVM_RPC_1", "https://ethereum-rpc.publicnode.com";
    /// A node of Optimism.
    EvmRpc10 = "EVM_RPC_10", "https://optimism-rpc.publicnode.com";
    /// A node of BNB Smart Chain.
    EvmRpc56 = "EVM_RPC_56", "https://bsc-rpc.publicnode.com";
    /// A node of Polygon.
    EvmRpc137 = "EVM_RPC_137", "https://polygon-bor-rpc.publicnode.com";
    /// A node of Base.
    EvmRpc8453 = "EVM_RPC_8453", "https://base-rpc.publicnode.com";
    /// A node of Arbitrum One.
    EvmRpc42161 = "EVM_RPC_42161", "https://arbitrum-one-rpc.publicnode.com";
    /// A node of Avalanche's C-Chain.
    EvmRpc43114 = "EVM_RPC_43114", "https://avalanche-c-chain-rpc.publicnode.com";
    /// An Esplora server of Bitcoin's main network: `/api/…`.
    Esplora = "ESPLORA", "https://blockstream.info";
    /// A Solana node: `POST /`.
    SolanaRpc = "SOLANA_RPC", "https://api.mainnet-beta.solana.com";
    /// OpenRouter: `/api/v1/…`.
    Openrouter = "OPENROUTER", "https://openrouter.ai";
    /// Groq: `/openai/v1/…`.
    Groq = "GROQ", "https://api.groq.com";
    /// OpenAI: `/v1/…`.
    Openai = "OPENAI", "https://api.openai.com";
    /// Anthropic: `/v1/…`.
    Anthropic = "ANTHROPIC", "https://api.anthropic.com";
    /// Google's Gemini API: `/v1beta/…`.
    GoogleAi = "GOOGLE_AI", "https://generativelanguage.googleapis.com";
    /// Mistral: `/v1/…`.
    Mistral = "MISTRAL", "https://api.mistral.ai";
    /// DeepSeek: `/user/balance`.
    Deepseek = "DEEPSEEK", "https://api.deepseek.com";
    /// xAI: `/v1/…`.
    Xai = "XAI", "https://api.x.ai";
    /// xAI's management of teams: `/v1/billing/…`.
    XaiManagement = "XAI_MANAGEMENT", "https://management-api.x.ai";
    /// Together: `/v1/…`.
    Together = "TOGETHER", "https://api.together.xyz";
    /// Fireworks: `/v1/accounts`, `/inference/v1/…`.
    Fireworks = "FIREWORKS", "https://api.fireworks.ai";
    /// Perplexity: `/chat/completions`.
    Perplexity = "PERPLEXITY", "https://api.perplexity.ai";
    /// Cohere: `/v1/…`.
    Cohere = "COHERE", "https://api.cohere.com";
    /// Cerebras: `/v1/…`.
    Cerebras = "CEREBRAS", "https://api.cerebras.ai";
    /// SambaNova: `/v1/…`.
    Sambanova = "SAMBANOVA", "https://api.sambanova.ai";
    /// NVIDIA's hosted models: `/v1/…`.
    NvidiaNim = "NVIDIA_NIM", "https://integrate.api.nvidia.com";
    /// NVIDIA's service of keys: `/v3/keys/…`.
    NvidiaNgc = "NVIDIA_NGC", "https://api.ngc.nvidia.com";
    /// Hugging Face: `/api/…`.
    Huggingface = "HUGGINGFACE", "https://huggingface.co";
    /// ElevenLabs: `/v1/…`.
    Elevenlabs = "ELEVENLABS", "https://api.elevenlabs.io";
    /// Serper: `/account`, `/search`.
    Serper = "SERPER", "https://google.serper.dev";
    /// SerpApi: `/account.json`, `/search.json`.
    Serpapi = "SERPAPI", "https://serpapi.com";
    /// Tavily: `/usage`, `/search`.
    Tavily = "TAVILY", "https://api.tavily.com";
    /// Moonshot's international platform: `/v1/…`.
    Moonshot = "MOONSHOT", "https://api.moonshot.ai";
    /// Moonshot's platform in China: `/v1/…`.
    MoonshotCn = "MOONSHOT_CN", "https://api.moonshot.cn";
    /// SiliconFlow in China: `/v1/…`.
    Siliconflow = "SILICONFLOW", "https://api.siliconflow.cn";
    /// SiliconFlow's international platform: `/v1/…`.
    SiliconflowCom = "SILICONFLOW_COM", "https://api.siliconflow.com";
    /// Novita: `/openai/v1/…`, `/openapi/v1/…`.
    Novita = "NOVITA", "https://api.novita.ai";
    /// DeepInfra: `/v1/openai/…`, `/payment/…`.
    Deepinfra = "DEEPINFRA", "https://api.deepinfra.com";
    /// Vercel's API: `/v10/projects`, `/v2/oauth/access_token`.
    Vercel = "VERCEL", "https://api.vercel.com";
    /// Vercel's pages: `/integrations/<slug>/new`.
    VercelWeb = "VERCEL_WEB", "https://vercel.com";
    /// Netlify's API: `/api/v1/…`, `/oauth/token`.
    Netlify = "NETLIFY", "https://api.netlify.com";
    /// Netlify's pages: `/authorize`.
    NetlifyWeb = "NETLIFY_WEB", "https://app.netlify.com";
    /// Railway's authorization server: `/oauth/…`.
    Railway = "RAILWAY", "https://backboard.railway.com";
    /// Railway's API: `/graphql/v2`.
    RailwayGraphql = "RAILWAY_GRAPHQL", "https://backboard.railway.com";
    /// Fly.io's Machines API: `/v1/apps`.
    Fly = "FLY", "https://api.machines.dev";
    /// Fly.io's GraphQL API: `/graphql`.
    FlyGraphql = "FLY_GRAPHQL", "https://api.fly.io";
    /// Cloudflare: `/client/v4/…`.
    Cloudflare = "CLOUDFLARE", "https://api.cloudflare.com";
    /// GitHub: `/repos/…`.
    Github = "GITHUB", "https://api.github.com";
    /// GitHub's pages and authorization server: `/login/oauth/…`.
    GithubWeb = "GITHUB_WEB", "https://github.com";
    /// Render: `/v1/…`.
    Render = "RENDER", "https://api.render.com";
    /// Heroku: `/apps/…`.
    Heroku = "HEROKU", "https://api.heroku.com";
    /// Heroku's authorization server: `/oauth/…`.
    HerokuId = "HEROKU_ID", "https://id.heroku.com";
    /// Supabase: `/v1/projects/…`.
    Supabase = "SUPABASE", "https://api.supabase.com";
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
