//! The providers of AI and search keys: what they say to a key, and which of them tell its balance.
//!
//! Every provider is one [`AiProvider`]: the same keys in the same conditions behind the provider's own paths, headers,
//! statuses and bodies. `openai_like` has those that speak OpenAI's protocol, `others` the rest; each function says
//! what it reproduces. What rests on documentation and what on reports is told there too.
//!
//! How it works. A `Behaviour` is a row: where the key stands in a request, what an unknown key and a throttled one
//! hear, what everybody may read without a key, and what a known key gets. The order is the providers' own: first what
//! is open, then the throttle, then the key, then what was asked for. A key's [`Condition`] decides the last step.
//!
//! Three things mislead here as they do in truth: several catalogues are open to everybody, so that a good answer
//! proves nothing; a key without credit still lists models; and error messages and account pages echo the key.

mod openai_like;
mod others;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State as Extracted;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{Throttle, bearer, form, header, json, lock, unix_seconds, whole_seconds, with_headers};

/// How a key stands with its provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It does what it is for.
    #[default]
    Working,
    /// It works, but may not read the account, or has other rights missing.
    Restricted,
    /// It works, but there is nothing left to spend.
    Exhausted,
    /// The provider knows it and has switched it off: disabled, suspended, or its team is.
    Blocked,
}

/// A key and the account behind it, in the provider's own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct AiKey {
    /// How it stands.
    pub condition: Condition,
    /// What is left; nothing where the key has no cap of its own.
    pub balance: Option<f64>,
    /// What was used today, in UTC.
    pub used_today: f64,
    /// What was used this month.
    pub used_month: f64,
    /// True for a key that manages the account instead of calling models.
    pub manages: bool,
}

impl Default for AiKey {
    fn default() -> Self {
        Self { condition: Condition::Working, balance: Some(25.5), used_today: 1.25, used_month: 12.5, manages: false }
    }
}

impl AiKey {
    /// A working key with this much left.
    #[must_use]
    pub fn with_balance(balance: f64) -> Self {
        Self { balance: Some(balance), ..Self::default() }
    }

    /// A key in this condition.
    #[must_use]
    pub fn in_condition(condition: Condition) -> Self {
        Self { condition, ..Self::default() }
    }

    /// A key that manages the account.
    #[must_use]
    pub fn managing() -> Self {
        Self { manages: true, ..Self::default() }
    }

    /// What is left, which is nothing once it is exhausted.
    fn left(&self) -> Option<f64> {
        if self.condition == Condition::Exhausted { Some(0.0) } else { self.balance }
    }
}

/// One provider, on one host.
#[derive(Clone, Debug)]
pub struct AiProvider {
    /// Stands for the provider's own origin.
    pub host: Host,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, AiKey>,
    throttle: Throttle,
}

impl AiProvider {
    /// Starts without any key.
    async fn start(behaviour: &'static Behaviour) -> io::Result<Self> {
        let state = Arc::<Mutex<State>>::default();
        let served = Served { state: Arc::clone(&state), behaviour };
        let router = Router::new().fallback(serve).with_state(served);
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a working key.
    pub fn add_key(&self, key: &str) {
        self.set_key(key, AiKey::default());
    }

    /// Adds a key as it is given, or changes it.
    pub fn set_key(&self, key: &str, as_given: AiKey) {
        lock(&self.state).keys.insert(key.to_owned(), as_given);
    }

    /// Deletes a key.
    pub fn revoke_key(&self, key: &str) {
        lock(&self.state).keys.remove(key);
    }

    /// Changes the condition of a key; an unknown one stays unknown.
    pub fn set_condition(&self, key: &str, condition: Condition) {
        if let Some(key) = lock(&self.state).keys.get_mut(key) {
            key.condition = condition;
        }
    }

    /// Uses up `amount` of a key's account.
    pub fn spend(&self, key: &str, amount: f64) {
        if let Some(key) = lock(&self.state).keys.get_mut(key) {
            key.balance = key.balance.map(|balance| balance - amount);
            key.used_today += amount;
            key.used_month += amount;
        }
    }

    /// Refuses the next `count` requests as too many, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }
}

/// How one provider behaves.
struct Behaviour {
    /// The key in a request.
    key: fn(&Asked) -> Option<String>,
    /// What anybody may read, with any key or none.
    open: fn(&Asked) -> Option<Response>,
    /// The refusal of an unknown key, or of none.
    refuse: fn(&Asked, Option<&str>) -> Response,
    /// The refusal of too many requests, before headers.
    throttled: fn() -> Response,
    /// The answer to a known key.
    answer: fn(&Asked, &str, &AiKey) -> Response,
}

/// A request, as a behaviour reads it.
struct Asked {
    method: Method,
    path: String,
    query: Map<String, Value>,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn is(&self, method: &Method, path: &str) -> bool {
        self.method == *method && self.path == path
    }

    fn gets(&self, path: &str) -> bool {
        self.is(&Method::GET, path)
    }

    fn posts(&self, path: &str) -> bool {
        self.is(&Method::POST, path)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Clone)]
struct Served {
    state: Arc<Mutex<State>>,
    behaviour: &'static Behaviour,
}

async fn serve(
    Extracted(served): Extracted<Served>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = form(uri.query().unwrap_or_default().as_bytes());
    let asked = Asked { method, path: uri.path().to_owned(), query, headers, body };
    let behaviour = served.behaviour;
    let mut state = lock(&served.state);
    if let Some(open) = (behaviour.open)(&asked) {
        return open;
    }
    if let Some(seconds) = state.throttle.take() {
        return with_headers((behaviour.throttled)(), [("retry-after", whole_seconds(seconds))]);
    }
    let key = (behaviour.key)(&asked);
    match key.as_deref().and_then(|key| Some((key, state.keys.get(key)?))) {
        None => (behaviour.refuse)(&asked, key.as_deref()),
        Some((name, key)) => (behaviour.answer)(&asked, name, key),
    }
}

/// `Authorization: Bearer`.
fn bearer_key(asked: &Asked) -> Option<String> {
    bearer(&asked.headers).map(str::to_owned)
}

/// A key in a header of its own.
fn header_key(asked: &Asked, name: &str) -> Option<String> {
    header(&asked.headers, name).map(str::to_owned)
}

/// Nothing is open.
fn closed(_asked: &Asked) -> Option<Response> {
    None
}

fn ok(body: &Value) -> Response {
    json(StatusCode::OK, body)
}

/// An answer with this status; a number that is none becomes 500.
fn status(code: u16, body: &Value) -> Response {
    json(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
}

/// OpenAI's `{"error": {…}}`.
fn openai_error(code: u16, message: &str, kind: &str, error_code: &str) -> Response {
    status(code, &json!({ "error": { "message": message, "type": kind, "param": null, "code": error_code } }))
}

/// A list of models with one in it.
fn catalogue() -> Response {
    ok(&json!({
        "object": "list",
        "data": [{ "id": "sandbox-1", "object": "model", "created": 1_767_225_600, "owned_by": "sandbox" }],
    }))
}

fn not_found() -> Response {
    openai_error(404, "Unknown request URL", "invalid_request_error", "unknown_url")
}

/// A key as an error message repeats it.
fn masked(key: &str) -> String {
    let length = key.chars().count();
    key.chars().enumerate().map(|(index, shown)| if index < 8 || index + 4 >= length { shown } else { '*' }).collect()
}

/// The start of the day in UTC, in seconds.
fn today() -> u64 {
    unix_seconds() / 86_400 * 86_400
}

/// What a key used, by day: today, and all before it in this month on the day that the caller asks from.
fn daily(key: &AiKey, since: u64) -> Vec<(u64, f64)> {
    let earlier = (since < today()).then_some((since, key.used_month - key.used_today));
    earlier.into_iter().chain([(today(), key.used_today)]).collect()
}

macro_rules! providers {
    ($($(#[$doc:meta])* $field:ident = $name:literal, $behaviour:path;)*) => {
        /// Every provider of keys.
        #[derive(Clone, Debug)]
        pub struct AiProviders {
            $($(#[$doc])* pub $field: AiProvider,)*
        }

        impl AiProviders {
            /// Starts each on a free port, without any key.
            ///
            /// # Errors
            /// When a port cannot be bound.
            pub async fn start() -> io::Result<Self> {
                Ok(Self { $($field: AiProvider::start(&$behaviour).await?,)* })
            }

            /// Each with its upstream's name.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, &AiProvider)> {
                vec![$(($name, &self.$field),)*]
            }

            /// The one with this upstream name.
            #[must_use]
            pub fn named(&self, name: &str) -> Option<&AiProvider> {
                self.all().into_iter().find(|(known, _)| *known == name).map(|(_, provider)| provider)
            }
        }
    };
}

providers! {
    /// OpenRouter.
    openrouter = "OPENROUTER", openai_like::OPENROUTER;
    /// Groq.
    groq = "GROQ", openai_like::GROQ;
    /// OpenAI.
    openai = "OPENAI", openai_like::OPENAI;
    /// Anthropic.
    anthropic = "ANTHROPIC", others::ANTHROPIC;
    /// Google's Gemini API.
    google_ai = "GOOGLE_AI", others::GOOGLE_AI;
    /// Mistral.
    mistral = "MISTRAL", openai_like::MISTRAL;
    /// DeepSeek.
    deepseek = "DEEPSEEK", openai_like::DEEPSEEK;
    /// xAI.
    xai = "XAI", openai_like::XAI;
    /// xAI's management of teams.
    xai_management = "XAI_MANAGEMENT", openai_like::XAI_MANAGEMENT;
    /// Together.
    together = "TOGETHER", openai_like::TOGETHER;
    /// Fireworks.
    fireworks = "FIREWORKS", openai_like::FIREWORKS;
    /// Perplexity.
    perplexity = "PERPLEXITY", openai_like::PERPLEXITY;
    /// Cohere.
    cohere = "COHERE", others::COHERE;
    /// Cerebras.
    cerebras = "CEREBRAS", openai_like::CEREBRAS;
    /// SambaNova.
    sambanova = "SAMBANOVA", openai_like::SAMBANOVA;
    /// NVIDIA's models, with a catalogue that is open.
    nvidia_nim = "NVIDIA_NIM", openai_like::NVIDIA_NIM;
    /// NVIDIA's service of keys.
    nvidia_ngc = "NVIDIA_NGC", others::NVIDIA_NGC;
    /// Hugging Face.
    huggingface = "HUGGINGFACE", others::HUGGINGFACE;
    /// ElevenLabs.
    elevenlabs = "ELEVENLABS", others::ELEVENLABS;
    /// Serper.
    serper = "SERPER", others::SERPER;
    /// SerpApi.
    serpapi = "SERPAPI", others::SERPAPI;
    /// Tavily.
    tavily = "TAVILY", others::TAVILY;
    /// Moonshot's international platform, which counts in US dollars.
    moonshot = "MOONSHOT", openai_like::MOONSHOT;
    /// Moonshot's platform in China, which counts in yuan.
    moonshot_cn = "MOONSHOT_CN", openai_like::MOONSHOT;
    /// SiliconFlow in China, which counts in yuan.
    siliconflow = "SILICONFLOW", openai_like::SILICONFLOW;
    /// SiliconFlow's international platform, which counts in US dollars.
    siliconflow_com = "SILICONFLOW_COM", openai_like::SILICONFLOW;
    /// Novita.
    novita = "NOVITA", openai_like::NOVITA;
    /// DeepInfra.
    deepinfra = "DEEPINFRA", openai_like::DEEPINFRA;
}
