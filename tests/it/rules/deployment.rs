//! What a deployment has to have beside its functions: limits, logs that end, a place for what failed, alarms, and
//! documents that say what each of them is. `template.yaml` and `infra/observability.yaml` are read as they are deployed.

use std::collections::{BTreeMap, BTreeSet};

use local::stack::GROUPS;
use serde_json::Value;
use shared::auth::Tenant;
use shared::credentials::{SecretOwner, SecretVersion};

use super::{read, template_document};

/// `infra/observability.yaml`, read as the template is.
fn observability() -> Value {
    local::template::document(&read("infra/observability.yaml")).unwrap()
}

/// The resources of one type, by their names.
fn of_type<'a>(document: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let resources = document["Resources"].as_object().unwrap().iter();
    resources.filter(|(_, it)| it["Type"] == kind).map(|(name, it)| (name.as_str(), &it["Properties"])).collect()
}

/// The functions: what a resource is called without `Function`, its binary, its properties.
fn functions(document: &Value) -> Vec<(&str, &str, &Value)> {
    let functions = of_type(document, "AWS::Serverless::Function").into_iter().map(|(name, properties)| {
        let binary = document["Resources"][name]["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
        (name.strip_suffix("Function").unwrap(), binary, properties)
    });
    functions.collect()
}

/// What both templates call a thing is told by a reference to it.
fn refers(value: &Value, how: &str, name: &str) -> bool {
    value[how] == name
}

fn events<'a>(properties: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let events = properties["Events"].as_object().unwrap().values();
    events.filter(move |event| event["Type"] == kind).map(|event| &event["Properties"])
}

#[test]
fn every_function_has_limits_and_a_log_that_ends() {
    let document = template_document();
    let logs = of_type(&document, "AWS::Logs::LogGroup");
    let globals = &document["Globals"]["Function"];
    assert!(globals["MemorySize"].is_u64());
    assert!(refers(&globals["Tracing"], "Ref", "Tracing"));
    for (name, binary, properties) in functions(&document) {
        // SAM builds where the code is said to be, and cargo looks there for the binary.
        let code = properties["CodeUri"].as_str().unwrap();
        assert!(read(&format!("{code}/Cargo.toml")).contains(&format!("\nname = \"{binary}\"")), "{binary} of {code}");

        let timeout = properties["Timeout"].as_u64();
        // API Gateway gives up after 30 s, Lambda after 900 s.
        let longest = if binary.ends_with("-api") { 29 } else { 900 };
        assert!(timeout.is_some_and(|timeout| (1..=longest).contains(&timeout)), "{binary}: {timeout:?}");

        let reserved = &properties["ReservedConcurrentExecutions"]["If"];
        assert_eq!(reserved[0], format!("Reserves{name}"), "{binary}");
        assert!(refers(&reserved[1], "Ref", &format!("{name}Concurrency")), "{binary}");

        let log = format!("{name}Logs");
        assert!(refers(&properties["LoggingConfig"]["LogGroup"], "Ref", &log), "{binary}");
        let group = logs[log.as_str()]["LogGroupName"]["Sub"].as_str().unwrap();
        assert_eq!(group, format!("/aws/lambda/${{AWS::StackName}}-{binary}"));
    }
    for (name, log) in &logs {
        assert!(refers(&log["RetentionInDays"], "Ref", "LogRetentionDays"), "{name}");
        assert!(refers(&log["KmsKeyId"]["If"][1], "Ref", "KmsKey"), "{name}");
        assert_eq!(document["Resources"][*name]["DeletionPolicy"], "Delete", "{name}");
    }
}

#[test]
fn what_fails_in_the_background_is_kept() {
    let document = template_document();
    let dead_letters = |value: &Value| refers(value, "GetAtt", "DeadLetters.Arn");
    for (_, binary, properties) in functions(&document) {
        let (schedules, streams): (Vec<_>, Vec<_>) =
            (events(properties, "Schedule").collect(), events(properties, "DynamoDB").collect());
        let asynchronous = !schedules.is_empty() || !streams.is_empty();
        assert_ne!(asynchronous, binary.ends_with("-api"), "{binary}");
        for schedule in schedules {
            assert!(dead_letters(&schedule["DeadLetterConfig"]["Arn"]), "{binary}: an event that cannot be delivered");
        }
        for mapping in streams {
            let failure = &mapping["DestinationConfig"]["OnFailure"];
            assert!(dead_letters(&failure["Destination"]), "{binary}: a batch of the stream");
            assert!(mapping["MaximumRetryAttempts"].is_u64(), "{binary}: it would stand still for a day");
            assert_eq!(mapping["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{binary}");
        }
        if asynchronous {
            let failure = &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
            assert!(dead_letters(&failure["Destination"]), "{binary}: an event that it failed on");
        }
    }
    // The queue takes an undeliverable event from a rule only by the rule's own name, which SAM makes of function and event.
    let named = |(name, _, properties): (&str, &str, &Value)| -> Vec<String> {
        let events = properties["Events"].as_object().unwrap().iter().filter(|(_, event)| event["Type"] == "Schedule");
        events.map(|(event, _)| format!("{name}Function{event}.Arn")).collect()
    };
    let rules: BTreeSet<String> = functions(&document).into_iter().flat_map(named).collect();
    let policy = &of_type(&document, "AWS::SQS::QueuePolicy")["DeadLettersPolicy"]["PolicyDocument"]["Statement"][0];
    let sources = policy["Condition"]["ArnEquals"]["aws:SourceArn"].as_array().unwrap();
    assert_eq!(sources.iter().map(|it| it["GetAtt"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(), rules);
    let queue = &of_type(&document, "AWS::SQS::Queue")["DeadLetters"];
    assert_eq!(queue["MessageRetentionPeriod"], 14 * 86_400);
    assert_eq!(queue["SqsManagedSseEnabled"]["If"][2], true);
    assert!(refers(&queue["KmsMasterKeyId"]["If"][1], "Ref", "KmsKey"));
}

#[test]
fn every_api_is_logged_and_bounded_and_can_have_a_domain() {
    let document = template_document();
    let apis = of_type(&document, "AWS::Serverless::HttpApi");
    assert_eq!(apis.len(), GROUPS.len());
    let settings = &document["Globals"]["HttpApi"]["DefaultRouteSettings"];
    assert!(refers(&settings["ThrottlingBurstLimit"], "Ref", "ThrottleBurst"));
    assert!(refers(&settings["ThrottlingRateLimit"], "Ref", "ThrottleRate"));
    let cors = &document["Globals"]["HttpApi"]["CorsConfiguration"]["If"];
    assert_eq!((&cors[0], &cors[1]["AllowOrigins"]["Split"][1]["Ref"]), (&"HasCors".into(), &"CorsOrigins".into()));
    assert_eq!(document["Parameters"]["CorsOrigins"]["Default"], "", "CORS is off at first");
    let allowed = cors[1]["AllowHeaders"].as_array().unwrap();
    let documented =
        ["authorization", "content-type", "idempotency-key", "x-client-id", "x-client-secret", "x-request-id"];
    assert_eq!(*allowed, documented, "what a request may have");
    for group in GROUPS {
        let name = group.name[..1].to_uppercase() + &group.name[1..];
        let access = &apis[format!("{name}Api").as_str()]["AccessLogSettings"];
        assert!(refers(&access["DestinationArn"], "GetAtt", &format!("{name}AccessLogs.Arn")), "{name}");
        let format: Value = serde_json::from_str(access["Format"].as_str().unwrap()).unwrap();
        let fields = format.as_object().unwrap().values().map(|value| value.as_str().unwrap());
        for field in fields {
            // A path, a query or a header may hold what is secret; a route is the pattern.
            let secret = ["path", "Path", "query", "header", "authorizer", "requestOverride"];
            assert!(!secret.iter().any(|part| field.contains(part)), "{name} logs {field}");
        }
        for field in ["requestId", "route", "status", "latency", "functionError"] {
            assert!(format[field].is_string(), "{name} does not log {field}");
        }
        let mapping = &of_type(&document, "AWS::ApiGatewayV2::ApiMapping")[format!("{name}DomainMapping").as_str()];
        assert!(refers(&mapping["ApiId"], "Ref", &format!("{name}Api")), "{name}");
    }
}

#[test]
fn a_customers_key_is_used_wherever_data_rests() {
    let document = template_document();
    let key = |value: &Value| value["If"][0] == "HasKmsKey" && refers(&value["If"][1], "Ref", "KmsKey");
    let resources = [
        ("AWS::DynamoDB::Table", "/SSESpecification/KMSMasterKeyId"),
        ("AWS::SecretsManager::Secret", "/KmsKeyId"),
        ("AWS::Logs::LogGroup", "/KmsKeyId"),
        ("AWS::SQS::Queue", "/KmsMasterKeyId"),
    ];
    for (kind, property) in resources {
        let found = of_type(&document, kind);
        assert!(!found.is_empty(), "{kind}");
        for (name, properties) in found {
            assert!(properties.pointer(property).is_some_and(key), "{name}");
        }
    }
    // Whoever has a role may use the key, through the services whose data it guards and not by itself.
    let policy = &of_type(&document, "AWS::IAM::ManagedPolicy")["KmsKeyUse"];
    let roles: BTreeSet<&str> =
        policy["Roles"].as_array().unwrap().iter().map(|role| role["Ref"].as_str().unwrap()).collect();
    let expected: BTreeSet<String> =
        functions(&document).into_iter().map(|(name, ..)| format!("{name}FunctionRole")).collect();
    assert_eq!(roles, expected.iter().map(String::as_str).collect());
    let statement = &policy["PolicyDocument"]["Statement"][0];
    assert!(refers(&statement["Resource"], "Ref", "KmsKey"));
    assert!(statement["Condition"]["StringEquals"]["kms:ViaService"].is_array());
}

#[test]
fn no_function_may_be_given_more_than_the_stacks_own() {
    let document = template_document();
    assert!(refers(&document["Globals"]["Function"]["PermissionsBoundary"], "Ref", "Boundary"));
    let boundary = of_type(&document, "AWS::IAM::ManagedPolicy")["Boundary"];
    let mut allowed = BTreeSet::new();
    for statement in boundary["PolicyDocument"]["Statement"].as_array().unwrap() {
        let statement = statement["If"].get(1).unwrap_or(statement);
        let actions: Vec<&str> =
            statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect();
        assert!(!actions.iter().any(|action| action.contains('*')), "{actions:?}");
        let without_resource = |action: &&str| action.starts_with("xray:") || *action == "secretsmanager:ListSecrets";
        assert!(statement["Resource"] != "*" || actions.iter().all(without_resource), "{actions:?} on everything");
        allowed.extend(actions);
    }
    for (_, binary, properties) in functions(&document) {
        assert!(properties.get("PermissionsBoundary").is_none() && properties.get("Role").is_none(), "{binary}");
        let statements = properties["Policies"].as_array().unwrap().iter();
        let statements = statements.flat_map(|policy| policy["Statement"].as_array().unwrap());
        for action in statements.flat_map(|statement| statement["Action"].as_array().unwrap()) {
            assert!(allowed.contains(action.as_str().unwrap()), "{binary} is given {action}, which the boundary takes");
        }
    }
}

#[tokio::test]
async fn a_new_secret_is_encrypted_with_the_operators_key_and_a_second_version_too() {
    let app = kit::TestApp::start().await;
    let key = "arn:aws:kms:us-east-1:123456789012:key/0f0e0d0c-0b0a-0908-0706-050403020100";
    let mut aws = shared::config::AwsConfig::emulated(app.proxy.address(), app.proxy.address());
    aws.kms_key = Some(key.to_owned());
    let platform = shared::Platform::with_egress(&aws, app.platform.egress.clone(), app.platform.ids.clone());
    let owner = SecretOwner::new(&Tenant::parse("acme").unwrap(), "services", "int_000000000000000000000");
    for version in [1, 2] {
        let version = SecretVersion(uuid::Uuid::from_u128(version));
        platform.credentials.stage(&owner, version, &"{}".to_owned().into()).await.unwrap();
        let described = app.secrets.describe_secret().secret_id(format!("causeway/{owner}")).send().await.unwrap();
        assert_eq!(described.kms_key_id.as_deref(), Some(key));
    }
}

/// The alarms by their names, without the stack's.
fn alarms(observability: &Value) -> BTreeMap<String, &Value> {
    let alarms = of_type(observability, "AWS::CloudWatch::Alarm").into_values().map(|alarm| {
        let name = alarm["AlarmName"]["Sub"].as_str().unwrap().strip_prefix("${Stack}-").unwrap();
        (name.to_owned(), alarm)
    });
    alarms.collect()
}

/// The metrics that an alarm looks at: each one's name and the values of its dimensions.
fn metrics(alarm: &Value) -> Vec<(&str, Vec<&Value>)> {
    let several = alarm["Metrics"].as_array().into_iter().flatten();
    let several = several.filter_map(|metric| metric.pointer("/MetricStat/Metric"));
    let all = several.chain([alarm]).filter_map(|metric| {
        let dimensions = metric["Dimensions"].as_array()?.iter().map(|dimension| &dimension["Value"]);
        Some((metric["MetricName"].as_str()?, dimensions.collect()))
    });
    all.collect()
}

#[test]
fn everything_that_can_fail_has_an_alarm() {
    let (document, observability) = (template_document(), observability());
    let alarms = alarms(&observability);
    let watches = |alarm: &str, metric: &str, dimension: &Value| {
        let alarm = alarms.get(alarm).unwrap_or_else(|| panic!("there is no alarm {alarm}"));
        let found = metrics(alarm).into_iter().any(|(name, values)| name == metric && values.contains(&dimension));
        assert!(found, "{} does not watch {metric} of {dimension}", alarm["AlarmName"]);
    };
    let refers_to = |name: &str| serde_json::json!({ "Ref": name });
    let mut expected = BTreeSet::from(["dead-letters", "table-throttles", "unreadable-items"].map(str::to_owned));
    watches("unreadable-items", "UnreadableItems", &refers_to("Stack"));
    watches("dead-letters", "ApproximateNumberOfMessagesVisible", &refers_to("DeadLetters"));
    watches("table-throttles", "WriteThrottleEvents", &refers_to("Table"));
    for (name, binary, properties) in functions(&document) {
        let function = refers_to(&format!("{name}Function"));
        let mut wanted = vec![("errors", "Errors"), ("throttles", "Throttles")];
        wanted.extend(events(properties, "DynamoDB").map(|_| ("stream-age", "IteratorAge")));
        for (alarm, metric) in wanted {
            let alarm = format!("{binary}-{alarm}");
            watches(&alarm, metric, &function);
            expected.insert(alarm);
        }
        if events(properties, "Schedule").next().is_some() {
            let alarm = format!("{binary}-stopped");
            watches(&alarm, "JobRuns", &binary.into());
            assert_eq!(alarms[&alarm]["TreatMissingData"], "breaching", "{alarm}");
            expected.insert(alarm);
        }
    }
    for group in GROUPS {
        let api = refers_to(&format!("{}{}Api", group.name[..1].to_uppercase(), &group.name[1..]));
        for (alarm, metric) in [("5xx", "5xx"), ("latency", "Latency")] {
            let alarm = format!("{}-{alarm}", group.name);
            watches(&alarm, metric, &api);
            expected.insert(alarm);
        }
    }
    for group in ["wallets", "vaults"] {
        let alarm = format!("{group}-sync-failures");
        watches(&alarm, "SyncsFailed", &group.into());
        expected.insert(alarm);
    }
    assert_eq!(alarms.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (name, alarm) in &alarms {
        for action in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm[action][0]["If"][0], "MakesTopic", "{name} tells nobody");
        }
    }
}

#[test]
fn the_nested_template_is_given_what_it_asks_for() {
    let (document, observability) = (template_document(), observability());
    let nested = of_type(&document, "AWS::CloudFormation::Stack")["Observability"];
    assert_eq!(nested["TemplateURL"], "infra/observability.yaml");
    let given = nested["Parameters"].as_object().unwrap();
    let asked = observability["Parameters"].as_object().unwrap();
    assert_eq!(given.keys().collect::<BTreeSet<_>>(), asked.keys().collect());
    for (name, value) in given {
        let called = value["Ref"].as_str().or(value["GetAtt"].as_str()).unwrap();
        let called = called.split('.').next().unwrap();
        assert!(called == name || (name, called) == (&"Stack".to_owned(), "AWS::StackName"), "{name} is {called}");
    }
}

#[test]
fn the_dashboard_shows_every_function_group_and_alarm() {
    let observability = observability();
    let body = of_type(&observability, "AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Sub"].clone();
    let body = body.as_str().unwrap();
    let dashboard: Value = serde_json::from_str(body).unwrap();
    assert!(dashboard["widgets"].as_array().unwrap().len() > 10);
    for name in observability["Parameters"].as_object().unwrap().keys() {
        let shown = body.contains(&format!("${{{name}}}"));
        assert!(shown || !(name.ends_with("Function") || name.ends_with("Api")), "{name} is not on the dashboard");
    }
    for alarm in of_type(&observability, "AWS::CloudWatch::Alarm").keys() {
        assert!(body.contains(&format!("${{{alarm}.Arn}}")), "{alarm} is not on the dashboard");
    }
}

/// The part of a document under a heading, up to the next of the same level or a higher one.
fn section(document: &str, heading: &str) -> String {
    let level = heading.chars().take_while(|it| *it == '#').count();
    let lines = document.lines().skip_while(|line| *line != heading).skip(1);
    let ends = |line: &str| {
        let hashes = line.chars().take_while(|it| *it == '#').count();
        (1..=level).contains(&hashes) && line[hashes..].starts_with(' ')
    };
    lines.take_while(|line| !ends(line)).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_runbook_starts_from_each_alarm() {
    let operations = read("docs/OPERATIONS.md");
    let runbook = section(&operations, "## Runbook");
    let headings: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut used = BTreeSet::new();
    let document = template_document();
    for alarm in alarms(&observability()).keys() {
        let functions = functions(&document).into_iter().map(|(_, binary, _)| binary);
        let groups = GROUPS.iter().map(|group| group.name);
        let of = functions.chain(groups).filter_map(|name| alarm.strip_prefix(name)?.strip_prefix('-'));
        let forms: Vec<String> = of.map(|kind| format!("`…-{kind}`")).chain([format!("`{alarm}`")]).collect();
        let found = forms.iter().find(|form| headings.contains(form.as_str()));
        used.insert(found.unwrap_or_else(|| panic!("the runbook does not say what to do about {alarm}")).clone());
    }
    let entries = headings.into_iter().filter(|heading| heading.starts_with('`'));
    assert_eq!(entries.collect::<BTreeSet<_>>(), used.iter().map(String::as_str).collect());
    for heading in &used {
        let entry = section(&runbook, &format!("### {heading}"));
        for part in ["**Means.**", "**Look.**", "**Causes.**", "**Do.**", "**Over when**"] {
            assert!(entry.contains(part), "{heading} has no {part}");
        }
    }
}

#[test]
fn operations_lists_every_parameter_with_its_default_and_every_output() {
    let document = template_document();
    let operations = read("docs/OPERATIONS.md");
    let table = section(&operations, "### Template parameters");
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        // A row may be of several parameters; what stands between the backticks are their names.
        let names: Vec<&str> = cells.get(1)?.split('`').skip(1).step_by(2).collect();
        Some((names, *cells.get(2)?))
    });
    let rows: Vec<(Vec<&str>, &str)> = rows.filter(|(names, _)| !names.is_empty()).collect();
    let listed: BTreeSet<&str> = rows.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let parameters = document["Parameters"].as_object().unwrap();
    assert_eq!(listed, parameters.keys().map(String::as_str).collect());
    for (name, parameter) in parameters {
        assert!(parameter["Description"].is_string(), "{name}");
        let default = match &parameter["Default"] {
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => other.to_string(),
        };
        for (_, told) in rows.iter().filter(|(names, _)| *names == [name.as_str()]) {
            assert_eq!(*told, default, "{name}");
        }
    }
    let deploying = section(&operations, "## Deploying");
    for output in document["Outputs"].as_object().unwrap().keys() {
        let shown = deploying.contains(&format!("`{output}`"));
        assert!(shown || output.ends_with("DomainTarget"), "docs/OPERATIONS.md: {output}");
    }
}

#[test]
fn the_defaults_of_the_command_line_are_enough_to_deploy() {
    let text = read("samconfig.toml");
    let value = |section: &str, key: &str| -> String {
        let lines = text.lines().skip_while(|line| *line != format!("[default.{section}.parameters]")).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        let found = lines.filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key);
        found.unwrap_or_else(|| panic!("{section} has no {key}")).1.trim_matches('"').to_owned()
    };
    // The first part of every secret's name, and of every log group's.
    let stack = value("global", "stack_name");
    assert!(stack.chars().all(|it| it.is_ascii_lowercase() || it == '-'), "{stack}");
    assert_eq!(value("validate", "lint"), "true");
    assert_eq!(value("deploy", "resolve_s3"), "true");
    // Roles, and no more: the nested template has no macro and names no role.
    assert_eq!(value("deploy", "capabilities"), "CAPABILITY_IAM");
    let nested = read("infra/observability.yaml");
    assert!(!nested.contains("Transform") && !nested.contains("AWS::IAM::"));
    for (name, _) in of_type(&template_document(), "AWS::IAM::ManagedPolicy") {
        let named = &template_document()["Resources"][name]["Properties"]["ManagedPolicyName"];
        assert!(named.is_null(), "{name} would want CAPABILITY_NAMED_IAM");
    }
}
