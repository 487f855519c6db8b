//! What the local stack takes from `template.yaml`, so that there is one definition of the table, the functions and the
//! schedules.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// The template that is deployed, as it was when this was built.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// What is wrong with the template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not YAML.
    #[error("template.yaml is not YAML: {0}")]
    Yaml(#[from] serde_norway::Error),
    /// Something that is needed is not there or has another form.
    #[error("template.yaml: {0}")]
    Form(String),
}

/// The parts of the template that run locally.
#[derive(Debug, Clone)]
pub struct Template {
    resources: Map<String, Value>,
}

/// A function of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionDefinition {
    /// Its binary's name.
    pub name: String,
    /// How long it may run.
    pub timeout: Duration,
    /// Method and path of the requests that it answers, the catch-all left out.
    pub routes: Vec<(String, String)>,
    /// When it runs by itself.
    pub schedules: Vec<Schedule>,
    /// What it takes of the table's stream.
    pub streams: Vec<Stream>,
}

/// What a function takes of the table's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// How many records it takes at a time.
    pub batch: usize,
    /// Event patterns, one of which a record must match; none takes every record.
    pub patterns: Vec<Value>,
}

/// A schedule of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How often it fires.
    pub every: Duration,
    /// What it sends instead of a scheduled event.
    pub input: Option<Value>,
}

impl Template {
    /// The template that was built in. It is read once in a process.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn embedded() -> Result<Self, TemplateError> {
        static EMBEDDED: OnceLock<Template> = OnceLock::new();
        if let Some(template) = EMBEDDED.get() {
            return Ok(template.clone());
        }
        let template = Self::parse(TEMPLATE)?;
        Ok(EMBEDDED.get_or_init(|| template).clone())
    }

    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        match document(text)?.get("Resources") {
            Some(Value::Object(resources)) => Ok(Self { resources: resources.clone() }),
            _ => Err(TemplateError::Form("it has no Resources".into())),
        }
    }

    /// The table as DynamoDB's CreateTable takes it.
    ///
    /// # Errors
    /// [`TemplateError::Form`] if there is not exactly one table.
    pub fn create_table(&self, name: &str) -> Result<Value, TemplateError> {
        let properties = self.table()?;
        let mut request = Map::new();
        request.insert("TableName".into(), name.into());
        for key in
            ["AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes", "GlobalSecondaryIndexes", "BillingMode"]
        {
            request.extend(properties.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        if let Some(view) = properties.get("StreamSpecification").and_then(|stream| stream.get("StreamViewType")) {
            request.insert("StreamSpecification".into(), json!({ "StreamEnabled": true, "StreamViewType": view }));
        }
        Ok(Value::Object(request))
    }

    /// The table's time to live as DynamoDB's UpdateTimeToLive takes it.
    ///
    /// # Errors
    /// [`TemplateError::Form`] if the table has none.
    pub fn time_to_live(&self, name: &str) -> Result<Value, TemplateError> {
        let specification = self.table()?.get("TimeToLiveSpecification").cloned();
        let specification = specification.ok_or_else(|| TemplateError::Form("the table has no time to live".into()))?;
        Ok(json!({ "TableName": name, "TimeToLiveSpecification": specification }))
    }

    fn table(&self) -> Result<&Map<String, Value>, TemplateError> {
        let mut tables = self.of_type("AWS::DynamoDB::Table");
        match (tables.next(), tables.next()) {
            (Some((_, properties)), None) => Ok(properties),
            _ => Err(TemplateError::Form("it must have exactly one AWS::DynamoDB::Table".into())),
        }
    }

    fn of_type(&self, kind: &str) -> impl Iterator<Item = (&Map<String, Value>, &Map<String, Value>)> {
        self.resources.values().filter_map(move |resource| {
            let resource = resource.as_object()?;
            (resource.get("Type")?.as_str()? == kind).then_some(())?;
            Some((resource, resource.get("Properties")?.as_object()?))
        })
    }

    /// The functions by their binaries' names.
    ///
    /// # Errors
    /// [`TemplateError::Form`] if one has a form that is not understood.
    pub fn functions(&self) -> Result<BTreeMap<String, FunctionDefinition>, TemplateError> {
        let mut functions = BTreeMap::new();
        for (resource, properties) in self.of_type("AWS::Serverless::Function") {
            let name = resource.get("Metadata").and_then(|metadata| metadata.pointer("/BuildProperties/Binary"));
            let name =
                name.and_then(Value::as_str).ok_or_else(|| TemplateError::Form("a function has no Binary".into()))?;
            let timeout = properties.get("Timeout").and_then(Value::as_u64).unwrap_or(3);
            let mut definition = FunctionDefinition {
                name: name.to_owned(),
                timeout: Duration::from_secs(timeout),
                routes: Vec::new(),
                schedules: Vec::new(),
                streams: Vec::new(),
            };
            for event in properties.get("Events").and_then(Value::as_object).into_iter().flat_map(Map::values) {
                definition.add(event)?;
            }
            functions.insert(name.to_owned(), definition);
        }
        Ok(functions)
    }
}

impl FunctionDefinition {
    fn add(&mut self, event: &Value) -> Result<(), TemplateError> {
        let property = |name: &str| event.get("Properties").and_then(|properties| properties.get(name));
        match event.get("Type").and_then(Value::as_str) {
            Some("HttpApi") => {
                let (method, path) =
                    (property("Method").and_then(Value::as_str), property("Path").and_then(Value::as_str));
                if let (Some(method), Some(path)) = (method, path)
                    && path != "$default"
                {
                    self.routes.push((method.to_owned(), path.to_owned()));
                }
            }
            Some("Schedule") => {
                let rate = property("Schedule").and_then(Value::as_str).unwrap_or_default();
                let every = every(rate).ok_or_else(|| TemplateError::Form(format!("{rate:?} is not a rate(…)")))?;
                let input = match property("Input").and_then(Value::as_str) {
                    Some(text) => {
                        Some(serde_json::from_str(text).map_err(|error| TemplateError::Form(error.to_string()))?)
                    }
                    None => None,
                };
                self.schedules.push(Schedule { every, input });
            }
            Some("DynamoDB") => {
                let filters = property("FilterCriteria").and_then(|criteria| criteria.get("Filters"));
                let filters = filters.and_then(Value::as_array).into_iter().flatten();
                let patterns = filters.filter_map(|filter| filter.get("Pattern")?.as_str()).map(serde_json::from_str);
                let patterns = patterns.collect::<Result<Vec<Value>, _>>();
                self.streams.push(Stream {
                    batch: property("BatchSize").and_then(Value::as_u64).map_or(100, |size| size as usize),
                    patterns: patterns.map_err(|error| TemplateError::Form(error.to_string()))?,
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// `rate(5 minutes)` as a duration.
fn every(rate: &str) -> Option<Duration> {
    let (number, unit) = rate.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A whole template as JSON; `!Ref x` and its like become `{"Ref": "x"}`, which nothing here needs resolved.
///
/// # Errors
/// [`TemplateError::Yaml`].
pub fn document(text: &str) -> Result<Value, TemplateError> {
    Ok(plain(serde_norway::from_str(text)?))
}

fn plain(value: serde_norway::Value) -> Value {
    use serde_norway::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(number) => {
            number.as_i64().map(Value::from).or_else(|| number.as_f64().map(Value::from)).unwrap_or_default()
        }
        Yaml::String(text) => text.into(),
        Yaml::Sequence(values) => values.into_iter().map(plain).collect(),
        Yaml::Mapping(entries) => entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), plain(value))))
            .collect::<Map<_, _>>()
            .into(),
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string().trim_start_matches('!').to_owned();
            Value::Object(Map::from_iter([(tag, plain(tagged.value))]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deployed_template_is_understood() {
        let template = Template::embedded().unwrap();
        let table = template.create_table("t").unwrap();
        assert_eq!(table["KeySchema"][0]["AttributeName"], "pk");
        assert_eq!(template.time_to_live("t").unwrap()["TimeToLiveSpecification"]["AttributeName"], "expires_at");
        let functions = template.functions().unwrap();
        let check = &functions["services-check"];
        assert_eq!(check.timeout, Duration::from_secs(900));
        for (function, often) in [("services-check", 86_400), ("keys-billing", 3_600)] {
            let schedules = &functions[function].schedules;
            assert_eq!(schedules[0], Schedule { every: Duration::from_secs(often), input: None }, "{function}");
            assert_eq!(schedules[1].input.as_ref().unwrap()["detail-type"], "Resume", "{function}");
        }
        assert!(functions["services-api"].routes.contains(&("GET".into(), "/api/integrations".into())));
    }

    #[test]
    fn rates_are_read_and_nothing_else() {
        assert_eq!(every("rate(5 minutes)"), Some(Duration::from_secs(300)));
        assert_eq!(every("rate(1 hour)"), Some(Duration::from_secs(3_600)));
        for text in ["", "rate(0 days)", "rate(x days)", "cron(0 0 * * ? *)", "rate(1 week)"] {
            assert_eq!(every(text), None, "{text}");
        }
    }
}
