//! Slack: the Web API (`/api/{method}`) and the incoming webhooks (`/services/{team}/{service}/{secret}`), two sockets
//! over one workspace.
//!
//! What it reproduces, and from where:
//! - The Web API answers errors with HTTP 200 and `{"ok": false, "error": …}`; only the rate limit is a 429 with
//!   `Retry-After` (Slack's published Web API specification and the Python SDK's documentation).
//! - `auth.test` needs no scope; every authenticated answer lists the granted scopes in `x-oauth-scopes`. For a bot it
//!   holds `bot_id`; a missing scope is told with `needed` and `provided` (the Node SDK's response types name all
//!   three). `token_expired` is in Slack's own lists of method errors.
//! - `conversations.info` reads only forms and queries, not JSON: Slack's reference lists no JSON for it.
//! - A webhook answers in bare text, as `text/html` (seen in a transcript of a refused delivery). The address is judged
//!   before the payload, and the payload before the channel, so a malformed payload answered `invalid_payload` means
//!   that the address is alive and nothing was posted, but says nothing of an archived channel. Trufflehog's live check
//!   rests on the same order, with an empty text answered 400 `no_text`.
//! - Statuses: 400 `invalid_payload`, 403 `action_prohibited`, 404 `channel_not_found`, 410 `channel_is_archived` are
//!   in Slack's changelog of 2016. `invalid_token` is a 403 (a recorded answer of 13 bytes), `no_service` and `no_team`
//!   are 404s (people's reports; Slack has no page on them).
//! - `<!channel>`, `<!here>` and `<!everyone>` in a text notify everybody unless they are escaped, whatever the other
//!   fields say; [`SlackMessage::broadcasts`] tells whether that would have happened.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, RawQuery, State as Extracted};
use axum::response::Response;
use axum::routing::{any, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{
    Encoding, Throttle, bearer, encoding, flag, form, json, list, lock, plain, text, unix_seconds, whole_seconds,
    with_headers,
};

/// The host that incoming webhook URLs name.
const HOOKS_ORIGIN: &str = "https://hooks.slack.com";
/// Longest text of `chat.postMessage`, in characters.
const LONGEST_TEXT: usize = 40_000;
/// Most blocks in a message.
const MOST_BLOCKS: usize = 50;
/// Longest text of a section block and of a header block, in characters.
const LONGEST_SECTION: usize = 3_000;
const LONGEST_HEADER: usize = 150;

/// A Slack workspace with its API and its webhooks.
#[derive(Clone, Debug)]
pub struct Slack {
    /// Stands for `https://slack.com`.
    pub api: Host,
    /// Stands for `https://hooks.slack.com`.
    pub hooks: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    hooks: Vec<Hook>,
    channels: Vec<SlackChannel>,
    bots: Vec<Bot>,
    messages: Vec<SlackMessage>,
    throttle: Throttle,
}

/// An incoming webhook.
#[derive(Clone, Debug)]
pub struct SlackHook {
    /// The workspace id, `T…`.
    pub team: String,
    /// The webhook's id, `B…`.
    pub service: String,
    /// The last part of the URL, which makes it a secret.
    pub secret: String,
    /// The id of the channel that it posts to.
    pub channel: String,
}

#[derive(Debug)]
struct Hook {
    hook: SlackHook,
    prohibited: bool,
}

/// A channel.
#[derive(Clone, Debug)]
pub struct SlackChannel {
    /// The id, `C…`.
    pub id: String,
    /// The name without `#`.
    pub name: String,
    /// Only members know that it exists.
    pub is_private: bool,
    /// The bot is in it.
    pub is_member: bool,
    /// Nothing can be posted any more.
    pub is_archived: bool,
}

impl SlackChannel {
    /// A public channel that the bot is in.
    #[must_use]
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), is_private: false, is_member: true, is_archived: false }
    }
}

/// An installed app's bot token.
#[derive(Clone, Debug)]
pub struct SlackBot {
    /// The token, `xoxb-…`.
    pub token: String,
    /// The workspace's name.
    pub team: String,
    /// The workspace's id, `T…`.
    pub team_id: String,
    /// The bot's user name.
    pub user: String,
    /// The bot's user id, `U…`.
    pub user_id: String,
    /// The bot's own id, `B…`.
    pub bot_id: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

impl SlackBot {
    /// A bot that may post and look channels up.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            team: "Sandbox".to_owned(),
            team_id: "T0SANDBOX".to_owned(),
            user: "causeway".to_owned(),
            user_id: "U0SANDBOX".to_owned(),
            bot_id: "B0BOT".to_owned(),
            scopes: ["chat:write", "channels:read", "groups:read"].map(str::to_owned).to_vec(),
        }
    }
}

#[derive(Debug)]
struct Bot {
    bot: SlackBot,
    refusal: Option<SlackRefusal>,
}

/// Why a token that was once good is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackRefusal {
    /// The token was revoked or the app removed: `token_revoked`.
    Revoked,
    /// The bot's user or the workspace is gone: `account_inactive`.
    AccountInactive,
    /// A rotating token ran out: `token_expired`.
    Expired,
    /// The caller's address is not on the workspace's list: `invalid_auth`, as for an unknown token.
    AddressNotAllowed,
}

impl SlackRefusal {
    fn error(self) -> &'static str {
        match self {
            Self::Revoked => "token_revoked",
            Self::AccountInactive => "account_inactive",
            Self::Expired => "token_expired",
            Self::AddressNotAllowed => "invalid_auth",
        }
    }
}

/// A message that was posted.
#[derive(Clone, Debug)]
pub struct SlackMessage {
    /// The webhook's or the bot's id.
    pub sender: String,
    /// The channel's id.
    pub channel: String,
    /// The text; empty when there are only blocks.
    pub text: String,
    /// The whole payload.
    pub payload: Value,
    /// The message's timestamp, which is its id.
    pub ts: String,
    /// Everybody in the channel would have been notified.
    pub broadcasts: bool,
}

impl Slack {
    /// Starts an empty workspace.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let api = Router::new()
            .route("/api/{method}", any(call))
            .fallback(async || plain(StatusCode::NOT_FOUND, "text/html", "Not Found"))
            .with_state(Arc::clone(&state));
        let hooks = Router::new()
            .route("/services/{team}/{service}/{secret}", post(post_to_hook))
            .fallback(async || plain(StatusCode::NOT_FOUND, "text/html", "no_service"))
            .with_state(Arc::clone(&state));
        Ok(Self { api: Host::start(api).await?, hooks: Host::start(hooks).await?, state })
    }

    /// Adds an incoming webhook and returns its URL, as Slack shows it.
    pub fn add_hook(&self, hook: SlackHook) -> String {
        let url = format!("{HOOKS_ORIGIN}/services/{}/{}/{}", hook.team, hook.service, hook.secret);
        let mut state = lock(&self.state);
        state.hooks.retain(|known| known.hook.service != hook.service);
        state.hooks.push(Hook { hook, prohibited: false });
        url
    }

    /// Removes a webhook: its URL answers `no_service`, or `no_team` when it was the workspace's last one.
    pub fn remove_hook(&self, service: &str) {
        lock(&self.state).hooks.retain(|known| known.hook.service != service);
    }

    /// Lets an administrator forbid a webhook to post: real posts answer `action_prohibited`.
    pub fn prohibit_hook(&self, service: &str) {
        for known in lock(&self.state).hooks.iter_mut().filter(|known| known.hook.service == service) {
            known.prohibited = true;
        }
    }

    /// Adds a channel, or replaces the one with the same id.
    pub fn add_channel(&self, channel: SlackChannel) {
        let mut state = lock(&self.state);
        state.channels.retain(|known| known.id != channel.id);
        state.channels.push(channel);
    }

    /// Archives a channel.
    pub fn archive_channel(&self, id: &str) {
        self.change_channel(id, |channel| channel.is_archived = true);
    }

    /// Removes the bot from a channel.
    pub fn leave_channel(&self, id: &str) {
        self.change_channel(id, |channel| channel.is_member = false);
    }

    /// Deletes a channel.
    pub fn delete_channel(&self, id: &str) {
        lock(&self.state).channels.retain(|known| known.id != id);
    }

    /// Adds a bot token, or replaces the bot with the same token.
    pub fn add_bot(&self, bot: SlackBot) {
        let mut state = lock(&self.state);
        state.bots.retain(|known| known.bot.token != bot.token);
        state.bots.push(Bot { bot, refusal: None });
    }

    /// Refuses a bot token from now on.
    pub fn refuse_token(&self, token: &str, refusal: SlackRefusal) {
        for known in lock(&self.state).bots.iter_mut().filter(|known| known.bot.token == token) {
            known.refusal = Some(refusal);
        }
    }

    /// Replaces a bot's scopes.
    pub fn set_scopes(&self, token: &str, scopes: &[&str]) {
        for known in lock(&self.state).bots.iter_mut().filter(|known| known.bot.token == token) {
            known.bot.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        }
    }

    /// Answers the next `count` requests, API or webhook, with 429 and `Retry-After: seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// Every message that was posted, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<SlackMessage> {
        lock(&self.state).messages.clone()
    }

    fn change_channel(&self, id: &str, change: impl Fn(&mut SlackChannel)) {
        lock(&self.state).channels.iter_mut().filter(|channel| channel.id == id).for_each(change);
    }
}

async fn post_to_hook(
    Extracted(state): Extracted<Shared>,
    Path((team, service, secret)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let refused = plain(StatusCode::TOO_MANY_REQUESTS, "text/html", "rate_limited");
        return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
    }
    match state.deliver(&team, &service, &secret, &headers, &body) {
        Ok(()) => plain(StatusCode::OK, "text/html", "ok"),
        Err((status, error)) => plain(status, "text/html", error),
    }
}

type HookError = (StatusCode, &'static str);

impl State {
    fn deliver(
        &mut self,
        team: &str,
        service: &str,
        secret: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<(), HookError> {
        if !self.hooks.iter().any(|known| known.hook.team == team) {
            return Err((StatusCode::NOT_FOUND, "no_team"));
        }
        let known = self.hooks.iter().find(|known| known.hook.team == team && known.hook.service == service);
        let known = known.ok_or((StatusCode::NOT_FOUND, "no_service"))?;
        if known.hook.secret != secret {
            return Err((StatusCode::FORBIDDEN, "invalid_token"));
        }
        let payload = hook_payload(headers, body).ok_or((StatusCode::BAD_REQUEST, "invalid_payload"))?;
        if !has_content(&payload) {
            return Err((StatusCode::BAD_REQUEST, "no_text"));
        }
        if !has_valid_blocks(&payload) {
            return Err((StatusCode::BAD_REQUEST, "invalid_blocks"));
        }
        if known.prohibited {
            return Err((StatusCode::FORBIDDEN, "action_prohibited"));
        }
        let channel = self.channels.iter().find(|channel| channel.id == known.hook.channel);
        let channel = channel.ok_or((StatusCode::NOT_FOUND, "channel_not_found"))?;
        if channel.is_archived {
            return Err((StatusCode::GONE, "channel_is_archived"));
        }
        let (sender, channel) = (known.hook.service.clone(), channel.id.clone());
        self.post(sender, channel, payload);
        Ok(())
    }

    fn post(&mut self, sender: String, channel: String, payload: Map<String, Value>) -> SlackMessage {
        let message = SlackMessage {
            sender,
            channel,
            text: text(&payload, "text").to_owned(),
            broadcasts: broadcasts(&payload),
            payload: Value::Object(payload),
            ts: format!("{}.{:06}", unix_seconds(), self.messages.len() + 1),
        };
        self.messages.push(message.clone());
        message
    }
}

/// The payload of a webhook: a JSON object, or a form whose `payload` is one.
fn hook_payload(headers: &HeaderMap, body: &Bytes) -> Option<Map<String, Value>> {
    if encoding(headers) == Encoding::Form {
        serde_json::from_str(text(&form(body), "payload")).ok()
    } else {
        serde_json::from_slice(body).ok()
    }
}

fn has_content(message: &Map<String, Value>) -> bool {
    !text(message, "text").is_empty() || !list(message, "blocks").is_empty() || !list(message, "attachments").is_empty()
}

/// The limits of Block Kit that a plain message can run into.
fn has_valid_blocks(message: &Map<String, Value>) -> bool {
    let blocks = list(message, "blocks");
    message.get("blocks").is_none_or(Value::is_array)
        && blocks.len() <= MOST_BLOCKS
        && blocks.iter().all(is_valid_block)
}

fn is_valid_block(block: &Value) -> bool {
    let inner = block.pointer("/text/text").and_then(Value::as_str);
    let length = inner.map_or(0, |inner| inner.chars().count());
    match block.get("type").and_then(Value::as_str) {
        Some("section") => inner.is_none_or(|inner| !inner.is_empty()) && length <= LONGEST_SECTION,
        Some("header") => {
            block.pointer("/text/type").and_then(Value::as_str) == Some("plain_text")
                && (1..=LONGEST_HEADER).contains(&length)
        }
        Some(_) => true,
        None => false,
    }
}

/// Whether anything in the message would notify the whole channel.
fn broadcasts(message: &Map<String, Value>) -> bool {
    let parses_names = flag(message, "link_names") || text(message, "parse") == "full";
    let mut texts = vec![text(message, "text")];
    list(message, "blocks").iter().for_each(|block| collect_markdown(block, &mut texts));
    for attachment in list(message, "attachments").iter().filter_map(Value::as_object) {
        texts.extend([text(attachment, "text"), text(attachment, "pretext")]);
    }
    texts.iter().any(|text| {
        ["<!channel", "<!here", "<!everyone"].iter().any(|command| text.contains(command))
            || parses_names && ["@channel", "@here", "@everyone"].iter().any(|name| text.contains(name))
    })
}

/// Every text that Slack would read as its markup; `plain_text` is not.
fn collect_markdown<'value>(value: &'value Value, texts: &mut Vec<&'value str>) {
    match value {
        Value::Object(object) => {
            if text(object, "type") == "mrkdwn" {
                texts.push(text(object, "text"));
            }
            object.values().for_each(|inner| collect_markdown(inner, texts));
        }
        Value::Array(values) => values.iter().for_each(|inner| collect_markdown(inner, texts)),
        _ => {}
    }
}

async fn call(
    Extracted(state): Extracted<Shared>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let refused = json(StatusCode::TOO_MANY_REQUESTS, &error("ratelimited"));
        return with_headers(refused, [("retry-after", whole_seconds(seconds))]);
    }
    let accepted_scopes = match method.as_str() {
        "auth.test" => "",
        "chat.postMessage" => "chat:write",
        "conversations.info" => "channels:read,groups:read",
        _ => return json(StatusCode::OK, &json!({ "ok": false, "error": "unknown_method", "req_method": method })),
    };
    let arguments = match arguments(&method, query.as_deref(), &headers, &body) {
        Ok(arguments) => arguments,
        Err(refused) => return json(StatusCode::OK, &error(refused)),
    };
    // A token inside a JSON body is not read; only a form or a query may carry one.
    let in_form = (encoding(&headers) != Encoding::Json).then(|| text(&arguments, "token")).filter(|it| !it.is_empty());
    let Some(token) = bearer(&headers).or(in_form) else {
        return json(StatusCode::OK, &error("not_authed"));
    };
    let Some(known) = state.bots.iter().find(|known| known.bot.token == token) else {
        return json(StatusCode::OK, &error("invalid_auth"));
    };
    if let Some(refusal) = known.refusal {
        return json(StatusCode::OK, &error(refusal.error()));
    }
    let bot = known.bot.clone();
    let answer = match method.as_str() {
        "auth.test" => auth_test(&bot),
        "chat.postMessage" => state.post_message(&bot, arguments),
        _ => state.conversation_info(&bot, &arguments),
    };
    with_headers(
        json(StatusCode::OK, &answer),
        [("x-oauth-scopes", bot.scopes.join(",")), ("x-accepted-oauth-scopes", accepted_scopes.to_owned())],
    )
}

fn error(error: &str) -> Value {
    json!({ "ok": false, "error": error })
}

fn missing_scope(needed: &str, bot: &SlackBot) -> Value {
    json!({ "ok": false, "error": "missing_scope", "needed": needed, "provided": bot.scopes.join(",") })
}

/// The method's arguments, from the query, a form or a JSON object.
fn arguments(
    method: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Map<String, Value>, &'static str> {
    let mut arguments = form(query.unwrap_or_default().as_bytes());
    match encoding(headers) {
        Encoding::Form => {
            arguments.extend(form(body));
            // A form carries structures as JSON text.
            for name in ["blocks", "attachments"] {
                if let Some(Value::String(encoded)) = arguments.get(name) {
                    let decoded = serde_json::from_str(encoded).map_err(|_| "invalid_blocks_format")?;
                    arguments.insert(name.to_owned(), decoded);
                }
            }
        }
        Encoding::Json if method != "conversations.info" && !body.is_empty() => {
            match serde_json::from_slice(body).map_err(|_| "invalid_json")? {
                Value::Object(object) => arguments.extend(object),
                _ => return Err("json_not_object"),
            }
        }
        Encoding::Json | Encoding::Other => {}
    }
    Ok(arguments)
}

fn auth_test(bot: &SlackBot) -> Value {
    json!({
        "ok": true,
        "url": format!("https://{}.slack.com/", bot.team.to_ascii_lowercase()),
        "team": bot.team,
        "user": bot.user,
        "team_id": bot.team_id,
        "user_id": bot.user_id,
        "bot_id": bot.bot_id,
        "is_enterprise_install": false,
    })
}

impl State {
    fn post_message(&mut self, bot: &SlackBot, arguments: Map<String, Value>) -> Value {
        if !has_scope(bot, "chat:write") {
            return missing_scope("chat:write", bot);
        }
        let target = text(&arguments, "channel").trim_start_matches('#');
        let visible = |channel: &&SlackChannel| !channel.is_private || channel.is_member;
        let channel = self.channels.iter().find(|channel| channel.id == target || channel.name == target);
        let Some(channel) = channel.filter(visible) else {
            return error("channel_not_found");
        };
        if channel.is_archived {
            return error("is_archived");
        }
        if !channel.is_member && !has_scope(bot, "chat:write.public") {
            return error("not_in_channel");
        }
        if !has_content(&arguments) {
            return error("no_text");
        }
        if text(&arguments, "text").chars().count() > LONGEST_TEXT {
            return error("msg_too_long");
        }
        if !has_valid_blocks(&arguments) {
            return error("invalid_blocks");
        }
        let channel = channel.id.clone();
        let message = self.post(bot.bot_id.clone(), channel, arguments);
        json!({
            "ok": true,
            "channel": message.channel,
            "ts": message.ts,
            "message": {
                "type": "message",
                "user": bot.user_id,
                "bot_id": bot.bot_id,
                "team": bot.team_id,
                "text": message.text,
                "ts": message.ts,
            },
        })
    }

    fn conversation_info(&self, bot: &SlackBot, arguments: &Map<String, Value>) -> Value {
        let id = text(arguments, "channel");
        if id.is_empty() {
            let messages = ["[ERROR] missing required field: channel"];
            return json!({ "ok": false, "error": "invalid_arguments", "response_metadata": { "messages": messages } });
        }
        let channel = self.channels.iter().find(|channel| channel.id == id);
        let needed = if channel.is_some_and(|channel| channel.is_private) { "groups:read" } else { "channels:read" };
        if !has_scope(bot, needed) {
            return missing_scope(needed, bot);
        }
        let Some(channel) = channel.filter(|channel| !channel.is_private || channel.is_member) else {
            return error("channel_not_found");
        };
        json!({
            "ok": true,
            "channel": {
                "id": channel.id,
                "name": channel.name,
                "is_channel": !channel.is_private,
                "is_group": channel.is_private,
                "is_private": channel.is_private,
                "is_archived": channel.is_archived,
                "is_member": channel.is_member,
            },
        })
    }
}

fn has_scope(bot: &SlackBot, scope: &str) -> bool {
    bot.scopes.iter().any(|granted| granted == scope)
}
