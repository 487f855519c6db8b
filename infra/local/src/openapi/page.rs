//! A reading page of an OpenAPI document: plain HTML with a table of contents, the operations and the schemas. It runs no
//! script and fetches nothing; every text of the document is escaped.

use std::fmt::Write as _;

use serde_json::Value;
use shared::http::escape_html;

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid GrayText; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
caption { text-align: left; font-weight: bold; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem; border-bottom: 1px solid GrayText; overflow-wrap: anywhere; }
article { border-top: 1px solid GrayText; margin-top: 2rem; }
.method { font-weight: bold; }
:target { outline: 2px solid; outline-offset: .5rem; }
";

/// The page of a document.
pub(super) fn of(document: &Value) -> String {
    let mut page = Page { document, html: String::new() };
    page.write();
    page.html
}

struct Page<'a> {
    document: &'a Value,
    html: String,
}

/// An operation and where it is.
struct Operation<'a> {
    method: String,
    path: &'a str,
    id: &'a str,
    value: &'a Value,
}

/// Escaped, with what stands between backticks as code.
fn prose(text: &str) -> String {
    let parts = escape_html(text);
    let parts = parts.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn entries<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    let object = value.get(name).and_then(Value::as_object);
    object.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

impl<'a> Page<'a> {
    fn line(&mut self, line: &str) {
        self.html.push_str(line);
        self.html.push('\n');
    }

    fn write(&mut self) {
        let document = self.document;
        let info = document.get("info").unwrap_or(&Value::Null);
        let title = escape_html(text(info, "title"));
        self.line("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">");
        self.line("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        self.line(&format!("<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"));
        self.line("<a href=\"#operations\">To the operations</a>");
        self.line(&format!("<header>\n<h1>{title}</h1>"));
        self.paragraphs(text(info, "description"));
        let version = escape_html(text(info, "version"));
        self.line(&format!(
            "<p>Version {version}. The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p>\n</header>"
        ));
        self.contents();
        self.line("<main>");
        self.authentication();
        self.line("<section id=\"operations\">\n<h2>Operations</h2>");
        for tag in list(document, "tags") {
            let name = text(tag, "name");
            self.line(&format!("<section id=\"tag-{0}\">\n<h3>{0}</h3>", escape_html(name)));
            self.paragraphs(text(tag, "description"));
            for operation in self.operations(name) {
                self.operation(&operation);
            }
            self.line("</section>");
        }
        self.line("</section>\n<section id=\"schemas\">\n<h2>Schemas</h2>");
        let components = document.get("components").unwrap_or(&Value::Null);
        for (name, schema) in entries(components, "schemas") {
            self.schema(name, schema);
        }
        self.line("</section>\n</main>\n</body>\n</html>");
    }

    /// The operations with a tag, in the order of the document.
    fn operations(&self, tag: &str) -> Vec<Operation<'a>> {
        let all = entries(self.document, "paths").flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, value)| Operation {
                method: method.to_uppercase(),
                path,
                id: text(value, "operationId"),
                value,
            })
        });
        all.filter(|operation| list(operation.value, "tags").any(|name| name == tag)).collect()
    }

    fn contents(&mut self) {
        self.line("<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ul>\n<li><a href=\"#authentication\">Authentication</a></li>");
        for tag in list(self.document, "tags") {
            let name = text(tag, "name");
            self.line(&format!("<li><a href=\"#tag-{0}\">{0}</a>\n<ul>", escape_html(name)));
            for Operation { method, path, id, .. } in self.operations(name) {
                let (id, path) = (escape_html(id), escape_html(path));
                self.line(&format!("<li><a href=\"#{id}\"><code>{method} {path}</code></a></li>"));
            }
            self.line("</ul>\n</li>");
        }
        self.line("<li><a href=\"#schemas\">Schemas</a></li>\n</ul>\n</nav>");
    }

    fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.line(&format!("<p>{}</p>", prose(paragraph)));
        }
    }

    fn authentication(&mut self) {
        self.line("<section id=\"authentication\">\n<h2>Authentication</h2>\n<dl>");
        let components = self.document.get("components").unwrap_or(&Value::Null);
        for (_, scheme) in entries(components, "securitySchemes") {
            let header = match text(scheme, "name") {
                "" => "Authorization: Bearer &lt;token&gt;".to_owned(),
                name => format!("{}: …", escape_html(name)),
            };
            let description = prose(text(scheme, "description"));
            self.line(&format!("<dt><code>{header}</code></dt>\n<dd>{description}</dd>"));
        }
        self.line("</dl>\n</section>");
    }

    fn operation(&mut self, operation: &Operation<'_>) {
        let Operation { method, path, id, value } = operation;
        self.line(&format!("<article id=\"{0}\">\n<h4>{1}</h4>", escape_html(id), prose(text(value, "summary"))));
        self.line(&format!("<p><code><span class=\"method\">{method}</span> {}</code></p>", escape_html(path)));
        self.paragraphs(text(value, "description"));
        match text(value, "x-required-permission") {
            "" => self.line("<p>For everybody: no token is needed.</p>"),
            permission => self.line(&format!("<p>Permission: <code>{}</code></p>", escape_html(permission))),
        }
        self.parameters(value);
        if let Some(body) = value.get("requestBody") {
            let required = if body.get("required") == Some(&Value::Bool(true)) { "" } else { " (may be left out)" };
            self.line(&format!("<h5>Body{required}</h5>"));
            self.content(body);
        }
        self.line("<h5>Answers</h5>\n<table>\n<thead><tr><th scope=\"col\">status</th><th scope=\"col\">body</th><th scope=\"col\">what it means</th></tr></thead>\n<tbody>");
        for (status, response) in entries(value, "responses") {
            let response = self.resolved(response);
            let kinds: Vec<String> =
                entries(response, "content").map(|(_, content)| self.kind(content.get("schema"))).collect();
            let description = prose(text(response, "description"));
            self.line(&format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{description}</td></tr>",
                escape_html(status),
                kinds.join(" or ")
            ));
        }
        self.line("</tbody>\n</table>");
        for (status, response) in entries(value, "responses") {
            for (_, content) in entries(self.resolved(response), "content") {
                self.example(content, &format!("Example of an answer with {status}"));
            }
        }
        self.line("</article>");
    }

    fn parameters(&mut self, operation: &Value) {
        let parameters: Vec<&Value> = list(operation, "parameters").map(|one| self.resolved(one)).collect();
        if parameters.is_empty() {
            return;
        }
        self.line("<h5>Parameters</h5>\n<table>\n<thead><tr><th scope=\"col\">name</th><th scope=\"col\">in</th><th scope=\"col\">value</th><th scope=\"col\">what it is</th></tr></thead>\n<tbody>");
        for parameter in parameters {
            let needed = if parameter.get("required") == Some(&Value::Bool(true)) { ", required" } else { "" };
            let row = format!(
                "<tr><th scope=\"row\"><code>{}</code></th><td>{}{needed}</td><td>{}</td><td>{}</td></tr>",
                escape_html(text(parameter, "name")),
                escape_html(text(parameter, "in")),
                self.kind(parameter.get("schema")),
                prose(text(parameter, "description")),
            );
            self.line(&row);
        }
        self.line("</tbody>\n</table>");
    }

    fn content(&mut self, body: &Value) {
        for (media_type, content) in entries(body, "content") {
            let kind = self.kind(content.get("schema"));
            self.line(&format!("<p><code>{}</code>: {kind}</p>", escape_html(media_type)));
            self.example(content, "Example of the body");
        }
    }

    fn example(&mut self, content: &Value, caption: &str) {
        if let Some(example) = content.get("example") {
            let example = escape_html(&format!("{example:#}"));
            self.line(&format!("<figure>\n<figcaption>{caption}</figcaption>\n<pre>{example}</pre>\n</figure>"));
        }
    }

    /// What a reference stands for.
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let pointer = value.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value)
    }

    /// A schema in a few words, with links to those that have a name.
    fn kind(&self, schema: Option<&Value>) -> String {
        let Some(schema) = schema else { return "anything".to_owned() };
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.rsplit('/').next()) {
            return format!("<a href=\"#schema-{0}\">{0}</a>", escape_html(name));
        }
        for union in ["oneOf", "anyOf"] {
            let parts: Vec<String> = list(schema, union).map(|part| self.kind(Some(part))).collect();
            if !parts.is_empty() {
                return parts.join(" or ");
            }
        }
        let parts: Vec<String> = list(schema, "allOf").map(|part| self.kind(Some(part))).collect();
        if !parts.is_empty() {
            return parts.join(" with ");
        }
        let values: Vec<String> =
            list(schema, "enum").map(|value| format!("<code>{}</code>", escape_html(&shown(value)))).collect();
        if !values.is_empty() {
            return values.join(" or ");
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => vec!["anything"],
        };
        let types =
            types.into_iter().map(|name| match (name, schema.get("items"), schema.get("additionalProperties")) {
                ("array", items, _) => format!("list of {}", self.kind(items)),
                ("object", _, Some(values @ Value::Object(_))) => format!("map of {}", self.kind(Some(values))),
                (name, ..) => escape_html(name),
            });
        let mut kind = types.collect::<Vec<_>>().join(" or ");
        for (name, words) in BOUNDS {
            if let Some(bound) = schema.get(*name) {
                let _ = write!(kind, ", {words} {}", escape_html(&shown(bound)));
            }
        }
        kind
    }

    fn schema(&mut self, name: &str, schema: &'a Value) {
        self.line(&format!("<article id=\"schema-{0}\">\n<h3>{0}</h3>", escape_html(name)));
        self.paragraphs(text(schema, "description"));
        let own = std::iter::once(schema).chain(list(schema, "allOf"));
        let fields: Vec<(&str, &Value, bool)> = own
            .flat_map(|part| {
                let required = |name: &str| list(part, "required").any(|one| one == name);
                let fields: Vec<_> =
                    entries(part, "properties").map(|(name, field)| (name, field, required(name))).collect();
                fields
            })
            .collect();
        if fields.is_empty() || schema.get("allOf").is_some() {
            let kind = self.kind(Some(schema));
            self.line(&format!("<p>{kind}</p>"));
        }
        if !fields.is_empty() {
            self.line("<table>\n<thead><tr><th scope=\"col\">field</th><th scope=\"col\">value</th><th scope=\"col\">what it is</th></tr></thead>\n<tbody>");
            for (name, field, required) in fields {
                let always = if required { "" } else { " (may be absent)" };
                let row = format!(
                    "<tr><th scope=\"row\"><code>{}</code></th><td>{}{always}</td><td>{}</td></tr>",
                    escape_html(name),
                    self.kind(Some(field)),
                    prose(text(field, "description")),
                );
                self.line(&row);
            }
            self.line("</tbody>\n</table>");
        }
        self.line("</article>");
    }
}

/// Bounds of a value, and how they are put.
const BOUNDS: &[(&str, &str)] = &[
    ("format", "format"),
    ("minimum", "from"),
    ("exclusiveMinimum", "above"),
    ("maximum", "to"),
    ("minLength", "at least this long:"),
    ("maxLength", "at most this long:"),
    ("minItems", "at least so many:"),
    ("maxItems", "at most so many:"),
];

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_of_the_document_is_escaped() {
        let evil = "<script>alert(\"1\")</script>";
        let page = of(&json!({
            "info": { "title": evil, "description": evil, "version": evil },
            "tags": [{ "name": evil, "description": evil }],
            "paths": { evil: { "get": {
                "tags": [evil],
                "operationId": evil,
                "summary": evil,
                "description": evil,
                "x-required-permission": evil,
                "parameters": [{ "name": evil, "in": evil, "description": evil, "schema": { "type": evil, "enum": [evil] } }],
                "requestBody": { "content": { evil: { "schema": { "$ref": evil }, "example": { evil: evil } } } },
                "responses": { evil: { "description": evil, "content": { evil: { "schema": { "type": evil, "format": evil } } } } },
            } } },
            "components": {
                "schemas": { evil: { "description": evil, "properties": { evil: { "description": evil } } } },
                "securitySchemes": { evil: { "name": evil, "description": evil } },
            },
        }));
        assert!(!page.contains("<script"), "{page}");
        assert!(page.matches("&lt;script&gt;").count() > 20);
    }

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(prose("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
    }
}
