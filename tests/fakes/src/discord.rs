//! Discord: webhooks, `GET` and `POST /api/webhooks/{id}/{token}`, with or without an API version in the path.
//!
//! What it reproduces, and from where:
//! - The webhook object without `user` and without any authentication, its types, the limits of a message, the forum
//!   codes, the rate limit headers and body: Discord's API documentation. Its example of a 429 rounds `Retry-After` up
//!   while the body's `retry_after` keeps the fraction.
//! - A wrong token for a known id is 401 with code 50027 (seen in discord.js's issues), a deleted webhook 404 with code
//!   10015, where retrying is forbidden.
//! - A request without `User-Agent` is stopped at the edge with 403, code 40333 and the message "internal network error"
//!   (documented code; the message is from people's reports).
//! - A body that is neither JSON nor a form is not read, so it counts as an empty message (as reported; not documented).
//! - Only the content can mention: embeds never do. Without `allowed_mentions` everything in the content fires;
//!   `{"parse": []}` silences all. [`DiscordMessage::mentions_everyone`] tells what would have happened.
//! - Only an incoming webhook has a token to post with. What Discord answers to a post on another type is not
//!   documented; here it is an unknown webhook.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State as Extracted};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{
    Encoding, Refused, Throttle, encoding, flag, form, has_user_agent, json, list, lock, text, unix_seconds,
    whole_seconds, with_headers,
};

/// The host that webhook URLs name.
const ORIGIN: &str = "https://discord.com";
/// The limits of a message, in characters or items.
const LONGEST_CONTENT: usize = 2_000;
const LONGEST_USERNAME: usize = 80;
const MOST_EMBEDS: usize = 10;
const LONGEST_EMBED_TITLE: usize = 256;
const LONGEST_EMBED_DESCRIPTION: usize = 4_096;
const LARGEST_EMBEDS: usize = 6_000;
/// API versions that still answer.
const VERSIONS: std::ops::RangeInclusive<u32> = 6..=10;

/// Discord, as far as webhooks go.
#[derive(Clone, Debug)]
pub struct Discord {
    /// Stands for `https://discord.com`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    webhooks: Vec<DiscordWebhook>,
    messages: Vec<DiscordMessage>,
    throttle: Throttle,
}

/// What a webhook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscordWebhookKind {
    /// Type 1: posts messages with its token.
    Incoming,
    /// Type 2: repeats the news of another server's channel.
    ChannelFollower,
    /// Type 3: belongs to an application's interactions.
    Application,
}

impl DiscordWebhookKind {
    fn number(self) -> u8 {
        match self {
            Self::Incoming => 1,
            Self::ChannelFollower => 2,
            Self::Application => 3,
        }
    }
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct DiscordWebhook {
    /// The id, a snowflake.
    pub id: String,
    /// The last part of the URL, which makes it a secret.
    pub token: String,
    /// What it is for.
    pub kind: DiscordWebhookKind,
    /// Its name.
    pub name: String,
    /// The channel it posts to.
    pub channel_id: String,
    /// The server it belongs to.
    pub guild_id: String,
    /// The channel is a forum, where every post needs a thread.
    pub is_forum: bool,
    /// The webhook may not post: 403 with code 50013.
    pub is_forbidden: bool,
}

impl DiscordWebhook {
    /// An incoming webhook of an ordinary channel.
    #[must_use]
    pub fn new(id: &str, token: &str) -> Self {
        Self {
            id: id.to_owned(),
            token: token.to_owned(),
            kind: DiscordWebhookKind::Incoming,
            name: "Alerts".to_owned(),
            channel_id: "200000000000000001".to_owned(),
            guild_id: "300000000000000001".to_owned(),
            is_forum: false,
            is_forbidden: false,
        }
    }
}

/// A message that was posted.
#[derive(Clone, Debug)]
pub struct DiscordMessage {
    /// The message's id.
    pub id: String,
    /// The webhook that posted it.
    pub webhook_id: String,
    /// The text.
    pub content: String,
    /// The whole payload.
    pub payload: Value,
    /// What the sender allowed to be mentioned; `None` allows everything.
    pub allowed_mentions: Option<Value>,
    /// `@everyone` or `@here` would have notified everybody.
    pub mentions_everyone: bool,
    /// The users who would have been notified.
    pub mentioned_users: Vec<String>,
    /// The roles that would have been notified.
    pub mentioned_roles: Vec<String>,
    /// The thread it was posted to, by id or by its new name.
    pub thread: Option<String>,
}

impl Discord {
    /// Starts without any webhook.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let webhook = get(read).post(execute);
        let router = Router::new()
            .route("/api/webhooks/{id}/{token}", webhook.clone())
            .route("/api/{version}/webhooks/{id}/{token}", webhook)
            .fallback(async || error(StatusCode::NOT_FOUND, 0, "404: Not Found"))
            .method_not_allowed_fallback(async || error(StatusCode::METHOD_NOT_ALLOWED, 0, "405: Method Not Allowed"))
            .layer(from_fn_with_state(Arc::clone(&state), edge))
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a webhook, or replaces the one with the same id, and returns its URL, as Discord shows it.
    pub fn add_webhook(&self, webhook: DiscordWebhook) -> String {
        let url = format!("{ORIGIN}/api/webhooks/{}/{}", webhook.id, webhook.token);
        let mut state = lock(&self.state);
        state.webhooks.retain(|known| known.id != webhook.id);
        state.webhooks.push(webhook);
        url
    }

    /// Deletes a webhook.
    pub fn delete_webhook(&self, id: &str) {
        lock(&self.state).webhooks.retain(|known| known.id != id);
    }

    /// Answers the next `count` requests with 429, asking to wait `seconds`, which may have a fraction.
    pub fn throttle(&self, count: usize, seconds: f64) {
        lock(&self.state).throttle.set(count, seconds);
    }

    /// Every message that was posted, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<DiscordMessage> {
        lock(&self.state).messages.clone()
    }
}

fn error(status: StatusCode, code: u32, message: &str) -> Refused {
    json(status, &json!({ "message": message, "code": code })).into()
}

/// A form error on one field; `path` leads to it.
fn form_error(path: &[&str], code: &str, message: &str) -> Refused {
    let leaf = json!({ "_errors": [{ "code": code, "message": message }] });
    let errors = path.iter().rev().fold(leaf, |inner, field| {
        let mut outer = Map::new();
        outer.insert((*field).to_owned(), inner);
        Value::Object(outer)
    });
    let body = json!({ "message": "Invalid Form Body", "code": 50035, "errors": errors });
    json(StatusCode::BAD_REQUEST, &body).into()
}

fn too_long(path: &[&str], most: usize) -> Refused {
    form_error(path, "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."))
}

/// What stands before the API: the edge that wants a `User-Agent`, and the rate limit.
async fn edge(Extracted(state): Extracted<Shared>, request: Request, next: Next) -> Response {
    if !has_user_agent(request.headers()) {
        return error(StatusCode::FORBIDDEN, 40333, "internal network error").into_response();
    }
    let throttled = lock(&state).throttle.take();
    if let Some(seconds) = throttled {
        let body = json!({ "message": "You are being rate limited.", "retry_after": seconds, "global": false });
        return with_headers(
            limits(json(StatusCode::TOO_MANY_REQUESTS, &body), 0, seconds),
            [("retry-after", whole_seconds(seconds)), ("x-ratelimit-scope", "user".to_owned())],
        );
    }
    limits(next.run(request).await, 4, 2.0)
}

/// The rate limit headers that every answer carries.
fn limits(response: Response, remaining: u32, seconds: f64) -> Response {
    let reset = unix_seconds() as f64 + seconds;
    with_headers(
        response,
        [
            ("x-ratelimit-limit", "5".to_owned()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", format!("{reset:.3}")),
            ("x-ratelimit-reset-after", format!("{seconds:.3}")),
            ("x-ratelimit-bucket", "a0b1c2d3e4f5".to_owned()),
        ],
    )
}

/// The parts of the path: with or without a version.
type WebhookPath = Path<Vec<(String, String)>>;

impl State {
    /// The webhook that a path names, judged in Discord's order: version, id, existence, token.
    fn webhook(&self, path: &[(String, String)]) -> Result<&DiscordWebhook, Refused> {
        let part = |name: &str| path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if let Some(version) = part("version") {
            let number = version.strip_prefix('v').and_then(|number| number.parse().ok());
            if !number.is_some_and(|number| VERSIONS.contains(&number)) {
                return Err(error(StatusCode::BAD_REQUEST, 50041, "Invalid API version"));
            }
        }
        let (id, token) = (part("id").unwrap_or_default(), part("token").unwrap_or_default());
        if id.parse::<u64>().is_err() {
            let message = format!("Value \"{id}\" is not snowflake.");
            return Err(form_error(&["webhook_id"], "NUMBER_TYPE_COERCE", &message));
        }
        let webhook = self.webhooks.iter().find(|known| known.id == id);
        let webhook = webhook.ok_or_else(|| error(StatusCode::NOT_FOUND, 10015, "Unknown Webhook"))?;
        if webhook.token != token {
            return Err(error(StatusCode::UNAUTHORIZED, 50027, "Invalid Webhook Token"));
        }
        Ok(webhook)
    }
}

async fn read(Extracted(state): Extracted<Shared>, Path(path): WebhookPath) -> Result<Response, Refused> {
    let state = lock(&state);
    let webhook = state.webhook(&path)?;
    Ok(json(StatusCode::OK, &webhook_object(webhook)))
}

fn webhook_object(webhook: &DiscordWebhook) -> Value {
    let is_application = webhook.kind == DiscordWebhookKind::Application;
    let place = |id: &str| if is_application { Value::Null } else { Value::from(id) };
    let mut object = json!({
        "id": webhook.id,
        "type": webhook.kind.number(),
        "guild_id": place(&webhook.guild_id),
        "channel_id": place(&webhook.channel_id),
        "name": webhook.name,
        "avatar": null,
        "application_id": if is_application { Value::from(webhook.id.as_str()) } else { Value::Null },
    });
    if let (DiscordWebhookKind::Incoming, Some(object)) = (webhook.kind, object.as_object_mut()) {
        object.insert("token".to_owned(), Value::from(webhook.token.as_str()));
    }
    object
}

async fn execute(
    Extracted(state): Extracted<Shared>,
    Path(path): WebhookPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let mut state = lock(&state);
    let query = form(query.unwrap_or_default().as_bytes());
    let webhook = state.webhook(&path)?.clone();
    let payload = payload(&headers, &body)?;
    let thread = thread(&webhook, &query, &payload)?;
    check_message(&payload)?;
    let message = state.post(&webhook, payload, thread);
    if flag(&query, "wait") {
        Ok(json(StatusCode::OK, &message_object(&webhook, &message)))
    } else {
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

fn payload(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Refused> {
    match encoding(headers) {
        Encoding::Json => serde_json::from_slice(body)
            .map_err(|_| error(StatusCode::BAD_REQUEST, 50109, "The request body contains invalid JSON.")),
        Encoding::Form => Ok(form(body)),
        Encoding::Other => Ok(Map::new()),
    }
}

/// Where the message goes: a thread by id, a new thread by name, or the channel.
fn thread(
    webhook: &DiscordWebhook,
    query: &Map<String, Value>,
    payload: &Map<String, Value>,
) -> Result<Option<String>, Refused> {
    let refuse = |code, message| Err(error(StatusCode::BAD_REQUEST, code, message));
    match (webhook.is_forum, text(query, "thread_id"), text(payload, "thread_name")) {
        _ if webhook.kind != DiscordWebhookKind::Incoming => {
            Err(error(StatusCode::NOT_FOUND, 10015, "Unknown Webhook"))
        }
        _ if webhook.is_forbidden => Err(error(StatusCode::FORBIDDEN, 50013, "Missing Permissions")),
        (true, "", "") => refuse(220_001, "Webhooks posted to forum channels must have a thread_name or thread_id"),
        (false, "", "") => Ok(None),
        (false, _, name) if !name.is_empty() => refuse(220_003, "Webhooks can only create threads in forum channels"),
        (_, id, "") => Ok(Some(id.to_owned())),
        (_, "", name) => Ok(Some(name.to_owned())),
        _ => refuse(220_002, "Webhooks posted to forum channels cannot have both a thread_name and thread_id"),
    }
}

fn check_message(payload: &Map<String, Value>) -> Result<(), Refused> {
    let length = |object: &Map<String, Value>, name: &str| text(object, name).chars().count();
    let embeds = list(payload, "embeds");
    if payload.get("content").is_some_and(|content| !content.is_string() && !content.is_null()) {
        return Err(form_error(&["content"], "BASE_TYPE_BAD_TYPE", "Could not interpret as string."));
    }
    if length(payload, "content") > LONGEST_CONTENT {
        return Err(too_long(&["content"], LONGEST_CONTENT));
    }
    if length(payload, "username") > LONGEST_USERNAME {
        return Err(too_long(&["username"], LONGEST_USERNAME));
    }
    if embeds.len() > MOST_EMBEDS {
        return Err(too_long(&["embeds"], MOST_EMBEDS));
    }
    let mut total = 0;
    for (index, embed) in embeds.iter().filter_map(Value::as_object).enumerate() {
        let (index, title, description) = (index.to_string(), length(embed, "title"), length(embed, "description"));
        if title > LONGEST_EMBED_TITLE {
            return Err(too_long(&["embeds", &index, "title"], LONGEST_EMBED_TITLE));
        }
        if description > LONGEST_EMBED_DESCRIPTION {
            return Err(too_long(&["embeds", &index, "description"], LONGEST_EMBED_DESCRIPTION));
        }
        total += title + description;
    }
    if total > LARGEST_EMBEDS {
        let message = format!("Embed size exceeds maximum size of {LARGEST_EMBEDS}");
        return Err(form_error(&["embeds"], "MAX_EMBED_SIZE_EXCEEDED", &message));
    }
    let is_empty = text(payload, "content").trim().is_empty() && embeds.is_empty() && payload.get("poll").is_none();
    if is_empty { Err(error(StatusCode::BAD_REQUEST, 50006, "Cannot send an empty message")) } else { Ok(()) }
}

impl State {
    fn post(
        &mut self,
        webhook: &DiscordWebhook,
        payload: Map<String, Value>,
        thread: Option<String>,
    ) -> DiscordMessage {
        let content = text(&payload, "content").to_owned();
        let allowed = payload.get("allowed_mentions").filter(|allowed| !allowed.is_null()).cloned();
        let may = |kind: &str, id: &str| {
            let Some(allowed) = allowed.as_ref().and_then(Value::as_object) else { return true };
            list(allowed, "parse").iter().chain(list(allowed, kind)).any(|entry| entry == kind || entry == id)
        };
        let everyone = content.contains("@everyone") || content.contains("@here");
        let message = DiscordMessage {
            id: format!("{}", 400_000_000_000_000_000_u64 + self.messages.len() as u64 + 1),
            webhook_id: webhook.id.clone(),
            mentions_everyone: everyone && may("everyone", ""),
            mentioned_users: mentioned(&content, "<@").into_iter().filter(|id| may("users", id)).collect(),
            mentioned_roles: mentioned(&content, "<@&").into_iter().filter(|id| may("roles", id)).collect(),
            content,
            payload: Value::Object(payload),
            allowed_mentions: allowed,
            thread,
        };
        self.messages.push(message.clone());
        message
    }
}

/// The ids in `<@id>`, `<@!id>` or `<@&id>`, in order and once each.
fn mentioned(content: &str, opening: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for rest in content.split(opening).skip(1) {
        let id = rest.split('>').next().unwrap_or_default().trim_start_matches('!');
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && rest.contains('>');
        if is_id && !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

fn message_object(webhook: &DiscordWebhook, message: &DiscordMessage) -> Value {
    json!({
        "id": message.id,
        "type": 0,
        "content": message.content,
        "channel_id": webhook.channel_id,
        "author": { "id": webhook.id, "username": webhook.name, "avatar": null, "discriminator": "0000", "bot": true },
        "attachments": [],
        "embeds": message.payload.get("embeds").cloned().unwrap_or_else(|| json!([])),
        "mentions": message.mentioned_users.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        "mention_roles": message.mentioned_roles,
        "mention_everyone": message.mentions_everyone,
        "pinned": false,
        "tts": false,
        "timestamp": jiff::Timestamp::now().to_string(),
        "edited_timestamp": null,
        "flags": 0,
        "components": [],
        "webhook_id": webhook.id,
    })
}
