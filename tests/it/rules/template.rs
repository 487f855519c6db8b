//! `template.yaml` and the code name the same functions and variables, and every route is answered.

use std::collections::BTreeSet;

use http::Method;
use kit::TestApp;
use local::stack::GROUPS;
use local::template::Template;
use serde_json::Value;
use shared::config::Config;
use shared::job::ScheduledEvent;

use super::{files, product, template_document};

type Routes = BTreeSet<(String, String)>;

fn routes_in_template(function: &str) -> Routes {
    Template::embedded().unwrap().functions().unwrap()[function].routes.iter().cloned().collect()
}

/// What everybody may ask for, and what it answers where the path names nothing.
const PUBLIC: &[(&str, &str, &str, u16)] =
    &[("vaults", "GET", "/v1/integrations", 200), ("vaults", "GET", "/v1/integrations/{provider}/callback", 404)];

/// What every group serves for everybody: what it says of itself.
const DESCRIPTIONS: [&str; 2] = ["/openapi.json", "/docs"];

#[tokio::test]
async fn every_route_of_the_template_is_answered_by_its_function() {
    let app = TestApp::start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for group in GROUPS {
        let send = async |method: &str, path: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = http.request(method, format!("{}{}{path}", app.url, group.base));
            let tenant = app.tenant("acme");
            let request = request.bearer_auth(&tenant.tokens.no_permissions).body("{}");
            // The wallets group asks for the token's client too.
            let request = request.header("x-client-id", &tenant.client_id);
            let request = request.header("x-client-secret", &tenant.client_secret);
            request.header("content-type", "application/json").send().await.unwrap().status().as_u16()
        };
        for (method, path) in routes_in_template(group.function) {
            let public = PUBLIC.iter().find(|(name, of, at, _)| (*name, *of, *at) == (group.name, &method, &path));
            // Whoever may do nothing is refused by a route's own check, before anything is looked for.
            let described = DESCRIPTIONS.contains(&path.as_str()).then_some(200);
            let expected = described.or(public.map(|(.., status)| *status)).unwrap_or(403);
            let parts =
                path.split('/').map(|part| if part.starts_with('{') { "int_000000000000000000000" } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            assert_eq!(send(&method, &path).await, expected, "{method} {path} of {}", group.name);
        }
        assert_eq!(send("GET", "/no/such/path").await, 404);
        assert_eq!(send("PATCH", group.path).await, 405);
    }
}

#[test]
fn what_has_no_route_reaches_the_function_all_the_same() {
    let document = template_document();
    for group in GROUPS {
        let resource = function_resource(&document, group.function);
        let events: Vec<&Value> = resource["Properties"]["Events"].as_object().unwrap().values().collect();
        let catches_all = |event: &&Value| {
            let properties = &event["Properties"];
            (&properties["Method"], &properties["Path"]) == (&Value::from("ANY"), &Value::from("$default"))
        };
        assert_eq!(events.iter().copied().filter(catches_all).count(), 1, "{}", group.name);
        let apis: BTreeSet<String> = events.iter().map(|event| event["Properties"]["ApiId"].to_string()).collect();
        assert_eq!(apis.len(), 1, "{} has more than one API: {apis:?}", group.name);
    }
}

fn function_resource<'a>(document: &'a Value, function: &str) -> &'a Value {
    let mut resources = document["Resources"].as_object().unwrap().values();
    resources.find(|resource| resource["Metadata"]["BuildProperties"]["Binary"] == function).unwrap()
}

#[test]
fn the_template_deploys_every_binary_and_nothing_else() {
    let mut binaries = BTreeSet::new();
    for manifest in files("Cargo.toml").iter().filter(|manifest| manifest.is("functions/*/Cargo.toml")) {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        for binary in manifest.text.split("[[bin]]").skip(1) {
            let quoted: Vec<&str> = binary.split('"').collect();
            let (name, path) = (quoted[1], quoted[3]);
            assert_eq!(path, format!("src/bin/{name}.rs"), "{}", manifest.path);
            assert!(super::root().join(folder).join(path).exists(), "{folder}/{path} is not there");
            binaries.insert(name.to_owned());
        }
    }
    let mains = product().into_iter().filter(|source| source.is("functions/*/src/bin/"));
    assert_eq!(mains.map(|main| main.stem().to_owned()).collect::<BTreeSet<_>>(), binaries);
    let deployed: BTreeSet<String> = Template::embedded().unwrap().functions().unwrap().into_keys().collect();
    assert_eq!(deployed, binaries);
}

#[test]
fn schedules_send_what_jobs_understand() {
    for (name, function) in Template::embedded().unwrap().functions().unwrap() {
        for input in function.schedules.into_iter().filter_map(|schedule| schedule.input) {
            let event: Result<ScheduledEvent, _> = serde_json::from_value(input);
            assert!(event.is_ok_and(|event| event.is_resume()), "{name}");
        }
    }
}

#[test]
fn the_vaults_groups_public_url_is_what_is_set_or_its_domain_or_empty() {
    let document = template_document();
    let url = &document["Globals"]["Function"]["Environment"]["Variables"]["CAUSEWAY_PUBLIC_URL_VAULTS"]["If"];
    assert_eq!((&url[0], &url[1]["Ref"]), (&Value::from("HasPublicUrlVaults"), &Value::from("PublicUrlVaults")));
    let domain = &url[2]["If"];
    assert_eq!((&domain[0], &domain[2]), (&Value::from("HasVaultsDomain"), &Value::from("")));
    // What the stack says of itself is the same address.
    assert_eq!(domain[1], document["Outputs"]["VaultsUrl"]["Value"]["If"][1]);
    let set = |condition: &str| document["Conditions"][condition]["Not"][0]["Equals"][0]["Ref"].clone();
    assert_eq!((set("HasPublicUrlVaults"), set("HasVaultsDomain")), ("PublicUrlVaults".into(), "VaultsDomain".into()));
}

/// Variables that the code reads and the template leaves to the operator.
const LEFT_OUT: &[(&str, &str)] = &[
    ("CAUSEWAY_ENDPOINT_", "another base URL for one upstream; the providers' own are right"),
    ("CAUSEWAY_{}_API_KEY", "the operator's own keys with upstreams; on AWS they are secrets"),
    ("CAUSEWAY_OAUTH_", "the operator's OAuth clients; on AWS they are secrets"),
    ("CAUSEWAY_LOG", "another level of detail; `info` is right"),
];

#[test]
fn the_template_sets_the_variables_that_the_code_reads() {
    let document = template_document();
    let variables = document["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap();
    let set: BTreeSet<&str> = variables.keys().map(String::as_str).collect();

    let sources: Vec<_> = product().into_iter().filter(|source| !source.is("infra/")).collect();
    let mut read = BTreeSet::new();
    for code in sources.iter().map(super::Source::code) {
        for prefix in ["CAUSEWAY_", "AWS_ENDPOINT_URL_"] {
            let quoted = format!("\"{prefix}");
            let literals = code.split(&quoted).skip(1);
            read.extend(literals.map(|rest| format!("{prefix}{}", rest.split('"').next().unwrap())));
        }
    }
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    let known: BTreeSet<&str> = read.iter().map(String::as_str).collect();
    assert_eq!(known, &set | &left_out);
    assert!(set.is_disjoint(&left_out));

    // With what the template sets, and what Lambda does, a function can start; lists are empty at first.
    let lists = ["CAUSEWAY_EGRESS_ALLOW", "CAUSEWAY_REDIRECT_ORIGINS"];
    // What is a parameter has its default; those of the issuer are of no use without one.
    let default = |name: &str| {
        // Every condition asks whether a parameter is set, and none is.
        let value = std::iter::successors(Some(&variables[name]), |value| value["If"].get(2)).last()?;
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        let parameter = value["Ref"].as_str()?;
        let default = &document["Parameters"][parameter]["Default"];
        default.as_str().map(str::to_owned).or_else(|| default.is_number().then(|| default.to_string()))
    };
    let value = |name: &str| {
        let empty = lists.contains(&name).then(String::new);
        empty.or_else(|| default(name)).unwrap_or_else(|| "causeway".into())
    };
    let mut environment: Vec<(String, String)> = set.iter().map(|name| ((*name).to_owned(), value(name))).collect();
    environment.push(("AWS_REGION".into(), "eu-central-1".into()));
    assert!(Config::from_variables(environment).is_ok());
}

#[test]
fn no_function_has_variables_of_its_own() {
    let document = template_document();
    for function in Template::embedded().unwrap().functions().unwrap().keys() {
        let resource = function_resource(&document, function);
        assert!(
            resource["Properties"].get("Environment").is_none(),
            "{function}: the comparison above would miss them"
        );
    }
}
