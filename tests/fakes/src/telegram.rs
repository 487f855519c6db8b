//! Telegram's Bot API: `/bot{token}/getMe`, `getChat` and `sendMessage`.
//!
//! What it reproduces, and from where:
//! - Answers are `{"ok": true, "result"}` or `{"ok": false, "error_code", "description", "parameters"?}` with the HTTP
//!   status equal to `error_code`; method names ignore case; arguments come in the query, a form or JSON; a 429 says
//!   `retry_after` both in `parameters` and as `Retry-After`. All of it from the Bot API server's own source, as are the
//!   refusals of tokens that cannot be one.
//! - A token without a colon, or whose first part is no number, never reaches that server: the hosted API answers 404
//!   "Not Found" (people's reports), a well-formed unknown one 401 "Unauthorized".
//! - Which chats can be read and which written is the server's access check, and the two differ. `getChat` still answers
//!   for a user who blocked the bot, for a deactivated user, and for a basic group that the bot was thrown out of or that
//!   became a supergroup; only `sendMessage` is refused there. A supergroup or channel that threw the bot out can be
//!   neither read nor written; one that the bot never joined can be read only when it is public.
//! - That the bot must be an administrator of a channel, and may be muted in a group, comes from the descriptions that
//!   client libraries match on.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, RawQuery, State as Extracted};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::host::Host;
use crate::wire::{
    Encoding, Throttle, encoding, flag, form, json, lock, text, unix_seconds, whole_seconds, with_headers,
};

/// Longest text of a message, in characters.
const LONGEST_TEXT: usize = 4_096;
/// Longest token.
const LONGEST_TOKEN: usize = 80;
/// Bot ids end below this.
const LARGEST_BOT_ID: i64 = 1 << 54;
/// What MarkdownV2 wants escaped outside of its own markup.
const RESERVED: &str = ">#+-=|{}.!";
/// The HTML tags that a message may hold.
const TAGS: [&str; 15] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "span",
    "tg-spoiler",
    "a",
    "code",
    "pre",
    "blockquote",
];

/// Telegram's Bot API.
#[derive(Clone, Debug)]
pub struct Telegram {
    /// Stands for `https://api.telegram.org`.
    pub host: Host,
    state: Shared,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    bots: Vec<TelegramBot>,
    chats: Vec<TelegramChat>,
    messages: Vec<TelegramMessage>,
    throttle: Throttle,
}

/// A bot.
#[derive(Clone, Debug)]
pub struct TelegramBot {
    /// The token: the bot's id, a colon and a secret.
    pub token: String,
    /// The user name, without `@`.
    pub username: String,
    /// The shown name.
    pub first_name: String,
}

/// What kind of place a chat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelegramChatKind {
    /// A conversation with one person.
    Private,
    /// A basic group.
    Group,
    /// A supergroup.
    Supergroup,
    /// A channel.
    Channel,
}

impl TelegramChatKind {
    fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Group => "group",
            Self::Supergroup => "supergroup",
            Self::Channel => "channel",
        }
    }
}

/// How the bot stands to a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelegramStanding {
    /// It may post. In a channel this means that it is an administrator.
    Welcome,
    /// It is there but may not post.
    Muted,
    /// Private chats: the person blocked the bot.
    Blocked,
    /// Private chats: the person's account is gone.
    Deactivated,
    /// It was thrown out.
    Kicked,
    /// It never joined, or left.
    NotMember,
    /// Basic groups: it became the supergroup with this id.
    UpgradedTo(i64),
}

/// A chat that bots may know.
#[derive(Clone, Debug)]
pub struct TelegramChat {
    /// The id: positive for people, negative for groups and channels.
    pub id: i64,
    /// What kind of place it is.
    pub kind: TelegramChatKind,
    /// Its title, or the person's name.
    pub title: String,
    /// The public name without `@`. A supergroup or channel that has one is public.
    pub username: Option<String>,
    /// How the bot stands to it.
    pub standing: TelegramStanding,
}

impl TelegramChat {
    /// A chat where the bot may post.
    #[must_use]
    pub fn new(id: i64, kind: TelegramChatKind, title: &str) -> Self {
        Self { id, kind, title: title.to_owned(), username: None, standing: TelegramStanding::Welcome }
    }
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub struct TelegramMessage {
    /// The message's id in the chat.
    pub id: usize,
    /// The bot's token.
    pub token: String,
    /// The chat.
    pub chat_id: i64,
    /// The text as sent, markup included.
    pub text: String,
    /// `HTML`, `Markdown` or `MarkdownV2`; plain when absent.
    pub parse_mode: Option<String>,
    /// Nobody's phone rang.
    pub is_silent: bool,
}

/// A refusal: the status, the description and the parameters.
struct Refusal(u16, String, Option<Value>);

impl Refusal {
    fn new(status: u16, description: impl Into<String>) -> Self {
        Self(status, description.into(), None)
    }

    fn answer(self) -> Response {
        let Self(code, description, parameters) = self;
        let mut body = json!({ "ok": false, "error_code": code, "description": description });
        if let (Some(parameters), Some(body)) = (parameters, body.as_object_mut()) {
            body.insert("parameters".to_owned(), parameters);
        }
        json(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body)
    }
}

impl Telegram {
    /// Starts without any bot or chat.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let state = Shared::default();
        let router = Router::new()
            .route("/{bot}/{method}", any(call))
            .fallback(async || Refusal::new(404, "Not Found").answer())
            .with_state(Arc::clone(&state));
        Ok(Self { host: Host::start(router).await?, state })
    }

    /// Adds a bot, or replaces the one with the same token.
    pub fn add_bot(&self, bot: TelegramBot) {
        let mut state = lock(&self.state);
        state.bots.retain(|known| known.token != bot.token);
        state.bots.push(bot);
    }

    /// Revokes a token, as @BotFather does.
    pub fn revoke(&self, token: &str) {
        lock(&self.state).bots.retain(|known| known.token != token);
    }

    /// Adds a chat, or replaces the one with the same id.
    pub fn add_chat(&self, chat: TelegramChat) {
        let mut state = lock(&self.state);
        state.chats.retain(|known| known.id != chat.id);
        state.chats.push(chat);
    }

    /// Changes how bots stand to a chat.
    pub fn set_standing(&self, chat_id: i64, standing: TelegramStanding) {
        for chat in lock(&self.state).chats.iter_mut().filter(|chat| chat.id == chat_id) {
            chat.standing = standing;
        }
    }

    /// Answers the next `count` requests with 429, asking to wait `seconds`.
    pub fn throttle(&self, count: usize, seconds: u32) {
        lock(&self.state).throttle.set(count, seconds.into());
    }

    /// Every message that was sent, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<TelegramMessage> {
        lock(&self.state).messages.clone()
    }
}

async fn call(
    Extracted(state): Extracted<Shared>,
    Path((bot, method)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = bot.strip_prefix("bot") else {
        return Refusal::new(404, "Not Found").answer();
    };
    let mut state = lock(&state);
    if let Some(seconds) = state.throttle.take() {
        let seconds = whole_seconds(seconds);
        let parameters = json!({ "retry_after": seconds.parse::<u64>().unwrap_or_default() });
        let description = format!("Too Many Requests: retry after {seconds}");
        return with_headers(Refusal(429, description, Some(parameters)).answer(), [("retry-after", seconds)]);
    }
    match state.answer(token, &method, query.as_deref(), &headers, &body) {
        Ok(result) => json(StatusCode::OK, &json!({ "ok": true, "result": result })),
        Err(refusal) => refusal.answer(),
    }
}

impl State {
    fn answer(
        &mut self,
        token: &str,
        method: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Value, Refusal> {
        check_token(token)?;
        let bot = self.bots.iter().find(|known| known.token == token);
        let bot = bot.cloned().ok_or_else(|| Refusal::new(401, "Unauthorized"))?;
        let arguments = arguments(query, headers, body)?;
        match method.to_ascii_lowercase().as_str() {
            "getme" => Ok(bot_object(&bot)),
            "getchat" => self.chat(&arguments, Access::Read).map(chat_object),
            "sendmessage" => self.send(&bot, &arguments),
            _ => Err(Refusal::new(404, "Not Found: method not found")),
        }
    }

    /// The chat that `chat_id` names, if the bot may have that access.
    fn chat(&self, arguments: &Map<String, Value>, access: Access) -> Result<&TelegramChat, Refusal> {
        let id = match arguments.get("chat_id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => String::new(),
        };
        if id.is_empty() {
            return Err(Refusal::new(400, "Bad Request: chat_id is empty"));
        }
        let named = |chat: &&TelegramChat| match id.strip_prefix('@') {
            Some(name) => {
                let public = chat.username.as_deref().filter(|_| chat.kind != TelegramChatKind::Private);
                public.is_some_and(|username| username.eq_ignore_ascii_case(name))
            }
            None => chat.id.to_string() == id,
        };
        let chat = self.chats.iter().find(named).ok_or_else(|| Refusal::new(400, "Bad Request: chat not found"))?;
        match refusal(chat, access) {
            Some(refusal) => Err(refusal),
            None => Ok(chat),
        }
    }

    fn send(&mut self, bot: &TelegramBot, arguments: &Map<String, Value>) -> Result<Value, Refusal> {
        let sent = text(arguments, "text");
        if sent.trim().is_empty() {
            return Err(Refusal::new(400, "Bad Request: message text is empty"));
        }
        let parse_mode = Some(text(arguments, "parse_mode")).filter(|mode| !mode.is_empty());
        check_markup(parse_mode, sent)?;
        let chat = self.chat(arguments, Access::Write)?.clone();
        if sent.chars().count() > LONGEST_TEXT {
            return Err(Refusal::new(400, "Bad Request: message is too long"));
        }
        let message = TelegramMessage {
            id: self.messages.len() + 1,
            token: bot.token.clone(),
            chat_id: chat.id,
            text: sent.to_owned(),
            parse_mode: parse_mode.map(str::to_owned),
            is_silent: flag(arguments, "disable_notification"),
        };
        let result = json!({
            "message_id": message.id,
            "from": bot_user(bot),
            "chat": chat_object(&chat),
            "date": unix_seconds(),
            "text": message.text,
        });
        self.messages.push(message);
        Ok(result)
    }
}

/// Refuses what cannot be a token.
fn check_token(token: &str) -> Result<(), Refusal> {
    let id = token.split_once(':').map(|(id, _)| id.parse::<i64>());
    let Some(Ok(id)) = id else {
        return Err(Refusal::new(404, "Not Found"));
    };
    if token.starts_with('0') || token.len() > LONGEST_TOKEN || !(1..LARGEST_BOT_ID).contains(&id) {
        return Err(Refusal::new(401, "Unauthorized: invalid token specified"));
    }
    Ok(())
}

fn arguments(query: Option<&str>, headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    let mut arguments = form(query.unwrap_or_default().as_bytes());
    match encoding(headers) {
        Encoding::Form => arguments.extend(form(body)),
        Encoding::Json if !body.is_empty() => {
            let object: Map<String, Value> = serde_json::from_slice(body)
                .map_err(|_| Refusal::new(400, "Bad Request: can't parse the request's JSON object"))?;
            arguments.extend(object);
        }
        Encoding::Json | Encoding::Other => {}
    }
    Ok(arguments)
}

/// What a method wants to do with a chat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Why the bot may not have this access to the chat.
fn refusal(chat: &TelegramChat, access: Access) -> Option<Refusal> {
    use TelegramChatKind::{Channel, Group, Private, Supergroup};
    use TelegramStanding::{Blocked, Deactivated, Kicked, Muted, NotMember, UpgradedTo, Welcome};

    let writes = access == Access::Write;
    let is_public = chat.username.is_some();
    let place = chat.kind.name();
    let forbidden = |what: &str| Some(Refusal::new(403, format!("Forbidden: {what}")));
    match (chat.kind, chat.standing) {
        (Private, Blocked) if writes => forbidden("bot was blocked by the user"),
        (Private, Deactivated) if writes => forbidden("user is deactivated"),
        (Group, UpgradedTo(id)) if writes => {
            let description = "Bad Request: group chat was upgraded to a supergroup chat".to_owned();
            Some(Refusal(400, description, Some(json!({ "migrate_to_chat_id": id }))))
        }
        (Group, Kicked) if writes => forbidden("bot was kicked from the group chat"),
        (Group, NotMember) if writes => forbidden("bot is not a member of the group chat"),
        (Supergroup | Channel, Kicked) => forbidden(&format!("bot was kicked from the {place} chat")),
        (Supergroup | Channel, NotMember) if writes || !is_public => {
            forbidden(&format!("bot is not a member of the {place} chat"))
        }
        (Channel, Muted) if writes => {
            Some(Refusal::new(400, "Bad Request: need administrator rights in the channel chat"))
        }
        (Group | Supergroup, Muted) if writes => {
            Some(Refusal::new(400, "Bad Request: not enough rights to send text messages to the chat"))
        }
        (
            Private | Group | Supergroup | Channel,
            Welcome | Muted | Blocked | Deactivated | Kicked | NotMember | UpgradedTo(_),
        ) => None,
    }
}

/// The mistakes in markup that a text taken from elsewhere makes: unescaped characters and unknown tags.
fn check_markup(parse_mode: Option<&str>, text: &str) -> Result<(), Refusal> {
    let broken = |why: String| Err(Refusal::new(400, format!("Bad Request: can't parse entities: {why}")));
    match parse_mode.map(str::to_ascii_lowercase).as_deref() {
        None | Some("markdown") => Ok(()),
        Some("markdownv2") => {
            let mut is_escaped = false;
            for character in text.chars() {
                if !is_escaped && RESERVED.contains(character) {
                    let why =
                        format!("Character '{character}' is reserved and must be escaped with the preceding '\\'");
                    return broken(why);
                }
                is_escaped = !is_escaped && character == '\\';
            }
            Ok(())
        }
        Some("html") => {
            for rest in text.split('<').skip(1) {
                let name = rest.split(['>', ' ']).next().unwrap_or_default();
                let name = name.trim_start_matches('/').to_ascii_lowercase();
                if !rest.contains('>') {
                    return broken("Unclosed start tag".to_owned());
                }
                if !TAGS.contains(&name.as_str()) {
                    return broken(format!("Unsupported start tag \"{name}\""));
                }
            }
            Ok(())
        }
        Some(_) => Err(Refusal::new(400, "Bad Request: unsupported parse_mode")),
    }
}

fn bot_user(bot: &TelegramBot) -> Value {
    let id = bot.token.split(':').next().and_then(|id| id.parse::<i64>().ok()).unwrap_or_default();
    json!({ "id": id, "is_bot": true, "first_name": bot.first_name, "username": bot.username })
}

fn bot_object(bot: &TelegramBot) -> Value {
    let mut user = bot_user(bot);
    if let Some(user) = user.as_object_mut() {
        for (ability, has) in [
            ("can_join_groups", true),
            ("can_read_all_group_messages", false),
            ("supports_inline_queries", false),
            ("can_connect_to_business", false),
            ("has_main_web_app", false),
        ] {
            user.insert(ability.to_owned(), Value::Bool(has));
        }
    }
    user
}

fn chat_object(chat: &TelegramChat) -> Value {
    let name = if chat.kind == TelegramChatKind::Private { "first_name" } else { "title" };
    let mut object = Map::new();
    object.insert("id".to_owned(), Value::from(chat.id));
    object.insert("type".to_owned(), Value::from(chat.kind.name()));
    object.insert(name.to_owned(), Value::from(chat.title.as_str()));
    if let Some(username) = &chat.username {
        object.insert("username".to_owned(), Value::from(username.as_str()));
    }
    Value::Object(object)
}
