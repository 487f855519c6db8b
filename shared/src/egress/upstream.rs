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
    /// OpenAI: `/v1/…`.
    Openai = "OPENAI", "https://api.openai.com";
    /// Groq: `/openai/v1/…`.
    Groq = "GROQ", "https://api.groq.com";
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
