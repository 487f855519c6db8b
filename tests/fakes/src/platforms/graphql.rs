//! As much of GraphQL as a platform's clients use: one operation, aliases, arguments, variables, nested selections and
//! relay connections. No fragments, no directives, no types: what a selection names must be there.

use serde_json::{Map, Value, json};

/// The key under which a resolver gives the nodes of a connection.
const NODES: &str = "__nodes";

/// A document's operation.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) is_mutation: bool,
    pub(crate) fields: Vec<Field>,
}

/// A selected field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) alias: String,
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) fields: Vec<Field>,
}

impl Field {
    /// A text argument; empty when it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        crate::wire::text(&self.arguments, name)
    }
}

/// Nodes that are given out in pages.
pub(crate) fn connection(nodes: Vec<Value>) -> Value {
    json!({ NODES: nodes })
}

/// Reads a document with its variables.
pub(crate) fn parse(document: &str, variables: &Value) -> Result<Operation, String> {
    let mut reader = Reader { tokens: tokens(document)?, at: 0, variables };
    let mut is_mutation = false;
    if reader.peek() != Some("{") {
        is_mutation = match reader.next().as_deref() {
            Some("query") => false,
            Some("mutation") => true,
            other => return Err(format!("Syntax Error: Unexpected {other:?}.")),
        };
        while !matches!(reader.peek(), Some("{") | None) {
            if reader.next().as_deref() == Some("(") {
                while reader.next().ok_or("Syntax Error: Unexpected end.")? != ")" {}
            }
        }
    }
    let fields = reader.selection()?;
    match reader.peek() {
        None => Ok(Operation { is_mutation, fields }),
        Some(other) => Err(format!("Syntax Error: Unexpected {other:?}.")),
    }
}

/// What a selection shows of a value. Connections come in pages of at most `page`.
pub(crate) fn select(value: &Value, fields: &[Field], page: usize) -> Result<Value, String> {
    if fields.is_empty() {
        return Ok(value.clone());
    }
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => items.iter().map(|item| select(item, fields, page)).collect(),
        Value::Object(object) => {
            let mut shown = Map::new();
            for field in fields {
                let found = object.get(&field.name);
                let found = found.ok_or_else(|| format!("Cannot query field \"{}\".", field.name))?;
                let value = match found.get(NODES).and_then(Value::as_array) {
                    Some(nodes) => select(&paged(nodes, field, page), &field.fields, page)?,
                    None => select(found, &field.fields, page)?,
                };
                shown.insert(field.alias.clone(), value);
            }
            Ok(Value::Object(shown))
        }
        _ => Err("Field must not have a selection since it has no subfields.".into()),
    }
}

fn paged(nodes: &[Value], field: &Field, page: usize) -> Value {
    let number = |name: &str| field.arguments.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let start = field.text("after").parse::<usize>().map_or(0, |cursor| cursor + 1);
    let size = number("first").unwrap_or(page).min(page);
    let shown = nodes.iter().enumerate().skip(start).take(size);
    let edges: Vec<Value> = shown.map(|(at, node)| json!({ "cursor": at.to_string(), "node": node })).collect();
    let end = edges.last().and_then(|edge| edge.get("cursor")).cloned();
    let more = start + edges.len() < nodes.len();
    json!({ "edges": edges, "pageInfo": { "hasNextPage": more, "endCursor": end } })
}

fn tokens(document: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = document.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '$' | '!' | '=' => 1,
            '"' => rest
                .get(1..)
                .and_then(|text| text.find('"'))
                .map(|end| end + 2)
                .ok_or("Syntax Error: Unterminated string.")?,
            first if first.is_ascii_alphanumeric() || matches!(first, '_' | '-') => rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '_' | '-' | '.'))
                .unwrap_or(rest.len()),
            other => return Err(format!("Syntax Error: Unexpected character {other:?}.")),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = after.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: Vec<String>,
    at: usize,
    variables: &'a Value,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        match self.next() {
            Some(found) if found == token => Ok(()),
            other => Err(format!("Syntax Error: Expected {token:?}, found {other:?}.")),
        }
    }

    fn selection(&mut self) -> Result<Vec<Field>, String> {
        self.expect("{")?;
        let mut fields = Vec::new();
        while self.peek() != Some("}") {
            fields.push(self.field()?);
        }
        self.expect("}")?;
        if fields.is_empty() { Err("Syntax Error: Expected Name, found \"}\".".into()) } else { Ok(fields) }
    }

    fn field(&mut self) -> Result<Field, String> {
        let alias = self.next().ok_or("Syntax Error: Unexpected end.")?;
        let mut name = alias.clone();
        if self.peek() == Some(":") {
            self.at += 1;
            name = self.next().ok_or("Syntax Error: Unexpected end.")?;
        }
        let mut arguments = Map::new();
        if self.peek() == Some("(") {
            self.at += 1;
            while self.peek() != Some(")") {
                let (name, value) = self.pair()?;
                arguments.insert(name, value);
            }
            self.expect(")")?;
        }
        let fields = if self.peek() == Some("{") { self.selection()? } else { Vec::new() };
        Ok(Field { alias, name, arguments, fields })
    }

    fn pair(&mut self) -> Result<(String, Value), String> {
        let name = self.next().ok_or("Syntax Error: Unexpected end.")?;
        self.expect(":")?;
        Ok((name, self.value()?))
    }

    fn value(&mut self) -> Result<Value, String> {
        let token = self.next().ok_or("Syntax Error: Unexpected end.")?;
        match token.as_str() {
            "$" => {
                let name = self.next().ok_or("Syntax Error: Unexpected end.")?;
                Ok(self.variables.get(&name).cloned().unwrap_or_default())
            }
            "{" => {
                let mut object = Map::new();
                while self.peek() != Some("}") {
                    let (name, value) = self.pair()?;
                    object.insert(name, value);
                }
                self.expect("}")?;
                Ok(Value::Object(object))
            }
            quoted if quoted.starts_with('"') => Ok(json!(quoted.trim_matches('"'))),
            plain => Ok(serde_json::from_str(plain).unwrap_or_else(|_| json!(plain))),
        }
    }
}
