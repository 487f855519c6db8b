//! `causeway token … --stack`: a deployed stack is found by its name, and whatever AWS objects to is one line that says
//! what to do. The sandbox's table stands for the deployed one; CloudFormation is played by the test.

use std::path::Path;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::process::Command;

use crate::process::{Ended, Stack, causeway, run};

/// What CloudFormation says of a stack by this name, and what DynamoDB says of a table by this name.
async fn answer(headers: HeaderMap, State(()): State<()>, body: String) -> Response {
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIATEST/"), "{authorization}");
    if headers.contains_key("x-amz-target") {
        let code = ["ExpiredTokenException", "AccessDeniedException"].into_iter().find(|code| body.contains(code));
        let error = serde_json::json!({ "__type": format!("com.amazon.coral.service#{}", code.unwrap()) });
        return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
    }
    assert!(authorization.contains("/eu-central-1/cloudformation/aws4_request"), "{authorization}");
    assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date"), "{authorization}");
    let asked: std::collections::BTreeMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!((asked["Action"].as_str(), asked["LogicalResourceId"].as_str()), ("DescribeStackResource", "Table"));
    let stack = &asked["StackName"];
    let error = |status, code: &str, message: &str| {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        (status, format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>")).into_response()
    };
    let missing = |message: String| error(StatusCode::BAD_REQUEST, "ValidationError", &message);
    match stack.as_str() {
        "production" => {
            let detail = "<StackName>production</StackName>\n<PhysicalResourceId>causeway</PhysicalResourceId>";
            format!("<DescribeStackResourceResponse><StackResourceDetail>{detail}</StackResourceDetail></DescribeStackResourceResponse>").into_response()
        }
        "website" => missing("Resource Table does not exist for stack website".into()),
        "ExpiredToken" => error(StatusCode::FORBIDDEN, stack, "The security token included in the request is expired"),
        "AccessDenied" => error(StatusCode::FORBIDDEN, stack, "User: x is not authorized to perform: y"),
        "Throttling" => error(StatusCode::BAD_REQUEST, stack, "Rate exceeded"),
        other => missing(format!("Stack '{other}' does not exist")),
    }
}

/// Starts it; gives its address.
async fn aws() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// `causeway token …` with this environment and nothing of the machine's own.
fn token(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = causeway(&[&["token"], arguments].concat());
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    command.envs(environment.iter().copied());
    command
}

const KEYS: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-central-1")];

/// The environment of somebody who may work on the stack of `folder` as if it were deployed.
struct Deployed {
    stack: Stack,
    dynamodb: String,
    cloudformation: String,
}

impl Deployed {
    async fn start(folder: &Path) -> Self {
        let stack = Stack::start(folder).await;
        let dynamodb = stack.file["aws"]["dynamodb_endpoint"].as_str().unwrap().to_owned();
        Self { stack, dynamodb, cloudformation: aws().await }
    }

    async fn token(&self, arguments: &[&str]) -> Ended {
        let mut environment = KEYS.to_vec();
        environment.push(("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb));
        environment.push(("AWS_ENDPOINT_URL_CLOUDFORMATION", &self.cloudformation));
        run(token(&[arguments, &["--stack", "production"]].concat(), &environment)).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(self.token(&[arguments, &["--json"]].concat()).await.printed()).unwrap()
    }
}

#[tokio::test]
async fn a_tokens_whole_life_on_a_stack_that_is_found_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let deployed = Deployed::start(folder.path()).await;
    let options = ["--name", "reports", "--permissions", "services:read", "--expires-in", "30", "--client-id", "web"];
    let created = deployed.json(&[&["create", "--tenant", "initech"], &options[..]].concat()).await;
    let (id, secret) = (created["id"].as_str().unwrap(), created["token"].as_str().unwrap());
    assert_eq!((&created["state"], &created["client_id"]), (&"active".into(), &"web".into()));
    assert!(created["client_secret"].as_str().unwrap().starts_with("cws_"));
    deployed.stack.services_as(secret).expect(200, "GET", "", None).await;

    let listed = deployed.json(&["list", "--tenant", "initech"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let shown = deployed.json(&["show", id]).await;
    assert_eq!(shown, listed[0]);
    assert_eq!(shown["permissions"], serde_json::json!(["services:read"]));
    assert!(shown["expires_at"].is_string() && shown["revoked_at"].is_null());
    assert!(!shown.to_string().contains(secret) && !shown.to_string().contains("hash"), "{shown}");

    let rotated = deployed.json(&["rotate", id, "--tenant", "initech", "--grace", "1"]).await;
    let (new_id, new) = (rotated["id"].as_str().unwrap(), rotated["token"].as_str().unwrap());
    for member in ["tenant", "user", "name", "permissions", "client_id"] {
        assert_eq!(rotated[member], created[member], "{member}");
    }
    assert_eq!((&rotated["replaces"]["id"], &rotated["replaces"]["replaced_by"]), (&id.into(), &new_id.into()));
    let ends = |token: &Value| token["expires_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (old_end, new_end) = (ends(&rotated["replaces"]), ends(&rotated));
    assert!(old_end < ends(&created) && ends(&created) <= new_end, "{old_end} {new_end}");
    for token in [secret, new] {
        deployed.stack.services_as(token).expect(200, "GET", "", None).await;
    }
    let again = deployed.token(&["rotate", id, "--tenant", "initech"]).await;
    assert_eq!(again.refusal(), format!("{id} was replaced by {new_id} already"));

    // At once, and with another end. The stack has never seen the token, so it remembers nothing of it.
    let third = deployed.json(&["rotate", new_id, "--tenant", "initech", "--grace", "0", "--expires-in", "365"]).await;
    assert_eq!(third["replaces"]["state"], "revoked");
    assert!(ends(&third) > new_end);
    let fourth = deployed.json(&["rotate", third["id"].as_str().unwrap(), "--tenant", "initech", "--grace=0"]).await;
    deployed.stack.services_as(third["token"].as_str().unwrap()).expect(401, "GET", "", None).await;
    let fourth_id = fourth["id"].as_str().unwrap();
    assert_eq!(deployed.json(&["revoke", fourth_id, "--tenant", "initech"]).await["state"], "revoked");
    deployed.stack.services_as(fourth["token"].as_str().unwrap()).expect(401, "GET", "", None).await;
    let nothing = deployed.token(&["rotate", fourth_id, "--tenant", "initech"]).await;
    assert!(nothing.refusal().starts_with(&format!("{fourth_id} does not work any more")), "{nothing:?}");
    assert_eq!(deployed.json(&["list", "--tenant", "initech"]).await.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn what_was_done_is_said_in_words_too() {
    let folder = tempfile::tempdir().unwrap();
    let deployed = Deployed::start(folder.path()).await;
    let created = deployed.token(&["create", "--tenant", "initech", "--permissions", "none"]).await;
    let lines: Vec<&str> = created.printed().lines().collect();
    let id = lines[0].strip_prefix("id             ").unwrap();
    let rest =
        ["expires        never", "in the stack production, table causeway", "This is the only time that it is shown."];
    assert_eq!(lines[2..], rest);
    let shown = deployed.token(&["show", id, "--tenant", "initech"]).await;
    for line in ["state          active", "tenant         initech", "permissions    none", "expires        never"] {
        assert!(shown.printed().lines().any(|shown| shown == line), "{line}: {shown:?}");
    }
    let rotated = deployed.token(&["rotate", id, "--tenant", "initech"]).await;
    let last = rotated.printed().lines().last().unwrap();
    assert!(last.starts_with(&format!("{id} works until 2")), "{rotated:?}");
    assert!(last.ends_with("`causeway token revoke` ends it sooner."), "{rotated:?}");
    let new = rotated.printed().lines().next().unwrap().strip_prefix("id             ").unwrap();
    let at_once = deployed.token(&["rotate", new, "--tenant", "initech", "--grace", "0"]).await;
    assert!(at_once.printed().ends_with(&format!("\n{new} is revoked. It stops working within a minute.\n")));
    let shown = deployed.token(&["show", new]).await;
    assert!(shown.printed().contains("\nreplaced by    tok_") && shown.printed().contains("\nrevoked        2"));
    let revoked = deployed.token(&["revoke", id, "--tenant", "initech"]).await;
    assert!(revoked.printed().ends_with("\nin the stack production, table causeway\n"), "{revoked:?}");

    for arguments in [&["show", "tok_1"][..], &["show", "tok_1", "--tenant", "acme"]] {
        let ended = deployed.token(arguments).await;
        assert!(ended.refusal().ends_with("no token tok_1; `causeway token list` shows them"), "{ended:?}");
    }
    for hours in ["-1", "8761", "soon"] {
        let grace = format!("--grace={hours}");
        let ended = deployed.token(&["rotate", id, "--tenant", "initech", &grace]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    }
}

/// Arguments, the environment, and how the line begins.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn whatever_aws_objects_to_is_one_line_that_says_what_to_do() {
    let aws = aws().await;
    let silent = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let there = ("AWS_ENDPOINT_URL", aws.as_str());
    let full = [&KEYS[..], &[there]].concat();
    let folder = tempfile::tempdir().unwrap();
    let profiles = folder.path().join("config");
    let single_sign_on = "[profile sso]\nsso_start_url = https://example.com/start\nsso_region = us-east-2\n\
                          sso_account_id = 123456789011\nsso_role_name = readOnly\n";
    std::fs::write(&profiles, single_sign_on).unwrap();
    let profiles = ("AWS_CONFIG_FILE", profiles.to_str().unwrap());
    let with_profiles = [&full[..], &[profiles]].concat();
    let cases: [Case; 13] = [
        (&["--stack", "production"], &KEYS[..2], "no AWS region is set: use --region, or set one in the profile"),
        (
            &["--stack", "production", "--region", "eu-central-1"],
            &[there],
            "no AWS credentials were found (neither in the environment nor in a profile). Use --profile",
        ),
        (
            &["--stack", "production", "--profile", "nobody"],
            &full,
            // Those in the environment are not those that were asked for.
            "no AWS credentials were found (the profile nobody has none). Use --profile",
        ),
        (
            &["--stack", "production", "--profile", "sso"],
            &with_profiles,
            "no AWS credentials were found (the profile's way of signing in is not built in). Use --profile",
        ),
        (&["--stack", "staging"], &full, "there is no stack staging in eu-central-1. `aws cloudformation list-stacks"),
        (&["--stack", "website"], &full, "the stack website in eu-central-1 has no table of Causeway's"),
        (&["--stack", "ExpiredToken"], &full, "AWS does not accept the credentials (ExpiredToken): they have expired"),
        (
            &["--stack", "AccessDenied"],
            &full,
            "the AWS credentials lack a right (AccessDenied): to find the table they need cloudformation:Describe",
        ),
        (
            &["--stack", "Throttling"],
            &full,
            "CloudFormation could not tell the stack's table: Throttling: Rate exceeded. --table names it",
        ),
        (
            &["--stack", "x", "--table", "ExpiredTokenException"],
            &full,
            "AWS does not accept the credentials (ExpiredTokenException): they have expired",
        ),
        (
            &["--stack", "x", "--table", "AccessDeniedException"],
            &full,
            "the AWS credentials lack a right (AccessDeniedException): token commands need dynamodb:GetItem",
        ),
        (
            &["--stack", "production"],
            &[KEYS[0], KEYS[1], KEYS[2], ("AWS_ENDPOINT_URL_CLOUDFORMATION", &silent)],
            "CloudFormation could not be asked for the stack's table: the connection was refused or failed. --table",
        ),
        (
            &["--stack", "production"],
            &[KEYS[0], KEYS[1], KEYS[2], ("AWS_ENDPOINT_URL_DYNAMODB", "localhost")],
            "AWS_ENDPOINT_URL_DYNAMODB is not an http or https URL",
        ),
    ];
    for (arguments, environment, expected) in cases {
        let ended = run(token(&[&["list"], arguments].concat(), environment)).await;
        assert!(ended.refusal().starts_with(expected), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let deployed = Deployed::start(folder.path()).await;
    let ended = deployed.token(&["list", "--table", "gone"]).await;
    assert!(ended.refusal().starts_with("there is no such table in this region"), "{ended:?}");
}
