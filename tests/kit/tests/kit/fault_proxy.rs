//! Every fault, seen from both sides: what the caller gets, and whether the upstream received the request.

use aws_sdk_dynamodb as dynamodb;
use aws_sdk_secretsmanager as secretsmanager;
use axum::Router;
use axum::extract::State;
use dynamodb::error::ProvideErrorMetadata;
use dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use dynoxide::Database;
use http::{HeaderMap, StatusCode, Uri};
use kit::fault_proxy::{Answer, Fault, FaultProxy, Service};
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::net::TcpListener;

/// An upstream that answers everything with its own name, and notes what it received.
#[derive(Clone, Default)]
struct Upstream {
    name: &'static str,
    received: Arc<Mutex<Vec<(Uri, HeaderMap, String)>>>,
}

impl Upstream {
    async fn start(name: &'static str) -> (Self, SocketAddr) {
        let upstream = Self { name, ..Self::default() };
        let router = Router::new().fallback(Self::receive).with_state(upstream.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (upstream, address)
    }

    async fn receive(State(upstream): State<Self>, uri: Uri, headers: HeaderMap, body: String) -> String {
        upstream.received.lock().unwrap().push((uri, headers, body));
        json!({"from": upstream.name}).to_string()
    }

    fn received(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

async fn proxied() -> (FaultProxy, Upstream) {
    let (upstream, address) = Upstream::start("upstream").await;
    (FaultProxy::start(address).await.unwrap(), upstream)
}

/// Opens a new connection for each request, and so never repeats one by itself.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap());
    &CLIENT
}

async fn call(proxy: &FaultProxy, operation: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
    call_target(proxy, &format!("DynamoDB_20120810.{operation}"), body).await
}

async fn call_target(proxy: &FaultProxy, target: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
    let request = client().post(proxy.url()).header("x-amz-target", target).body(body.to_string());
    let response = request.send().await?;
    Ok((response.status(), serde_json::from_slice(&response.bytes().await?).unwrap()))
}

fn was_reset(error: &(dyn Error + 'static)) -> bool {
    let this = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    this || error.source().is_some_and(was_reset)
}

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn without_faults_request_and_answer_pass_unchanged() {
    let (proxy, upstream) = proxied().await;
    let request = client().post(format!("{}/some/path?query=1", proxy.url())).header("authorization", "AWS4 …");
    let response = request.header("x-amz-target", "secretsmanager.GetSecretValue").body("{ \"a\" : 1 }").send();
    let response = response.await.unwrap();
    assert_eq!(response.status(), OK);
    assert_eq!(response.text().await.unwrap(), r#"{"from":"upstream"}"#);

    let (uri, headers, body) = upstream.received.lock().unwrap()[0].clone();
    assert_eq!(uri, "/some/path?query=1");
    assert_eq!(headers["host"], proxy.address().to_string());
    assert_eq!(headers["authorization"].as_bytes(), "AWS4 …".as_bytes());
    assert_eq!(headers["content-length"], "11");
    assert_eq!(body, "{ \"a\" : 1 }");
}

#[tokio::test]
async fn the_log_tells_calls_in_order() {
    let (proxy, _) = proxied().await;
    call(&proxy, "PutItem", json!({"Item": 1})).await.unwrap();
    call_target(&proxy, "secretsmanager.CreateSecret", json!({"Name": "n"})).await.unwrap();
    client().get(format!("{}/health", proxy.url())).send().await.unwrap();

    assert_eq!(proxy.operations(), ["PutItem", "CreateSecret", "GET /health"]);
    let calls = proxy.calls();
    assert_eq!(
        calls.iter().map(|call| call.service).collect::<Vec<_>>(),
        [Service::DynamoDb, Service::SecretsManager, Service::Other]
    );
    assert_eq!(calls[0].request, json!({"Item": 1}));
    assert_eq!(calls[0].answer, Some(Answer { status: OK, body: json!({"from": "upstream"}) }));
    assert!(calls[0].delivered);
    assert_eq!(calls[0].attempt, 1);
    assert_eq!(calls[2].request, Value::Null);

    proxy.forget_calls();
    assert!(proxy.calls().is_empty());
}

#[tokio::test]
async fn a_refused_call_is_not_delivered() {
    let (proxy, upstream) = proxied().await;
    proxy.inject(Fault::Refuse);
    let error = call(&proxy, "PutItem", json!({})).await.unwrap_err();
    assert!(!was_reset(&error), "{error:?}");
    assert_eq!(upstream.received(), 0);
    let calls = proxy.calls();
    assert_eq!((calls[0].fault.clone(), calls[0].delivered, calls[0].status()), (Some(Fault::Refuse), false, None));

    // Once, as nothing else was said.
    call(&proxy, "PutItem", json!({})).await.unwrap();
}

#[tokio::test]
async fn what_is_set_aside_is_no_step_and_meets_only_faults_that_are_aimed_at_it() {
    let (proxy, upstream) = proxied().await;
    proxy.set_aside(|body| body["aside"] == true);
    let (usual, aside) = (proxy.inject(Fault::ServerError).at_step(2), proxy.inject(Fault::Throttle).on_aside());
    for body in [json!({ "aside": true }), json!({}), json!({ "aside": true }), json!({}), json!({})] {
        call(&proxy, "PutItem", body).await.unwrap();
    }
    assert_eq!((usual.strikes(), aside.strikes(), upstream.received()), (1, 1, 3));
    let faults = |calls: Vec<kit::fault_proxy::Call>| calls.into_iter().map(|call| call.fault).collect::<Vec<_>>();
    assert_eq!(faults(proxy.calls()), [None, Some(Fault::ServerError), None]);
    assert_eq!(faults(proxy.calls_aside()), [Some(Fault::Throttle), None]);
    assert!(proxy.calls_aside()[1].delivered);
    proxy.forget_calls();
    assert_eq!((proxy.calls().len(), proxy.calls_aside().len()), (0, 0));
}

#[tokio::test]
async fn a_reset_call_is_not_delivered() {
    let (proxy, upstream) = proxied().await;
    proxy.inject(Fault::Reset);
    let error = call(&proxy, "PutItem", json!({})).await.unwrap_err();
    assert!(was_reset(&error), "{error:?}");
    assert_eq!(upstream.received(), 0);
}

#[tokio::test]
async fn a_lost_answer_was_delivered() {
    let (proxy, upstream) = proxied().await;
    proxy.inject(Fault::LoseAnswer);
    call(&proxy, "PutItem", json!({})).await.unwrap_err();
    assert_eq!(upstream.received(), 1);
    let calls = proxy.calls();
    assert!(calls[0].delivered);
    assert_eq!(calls[0].status(), Some(OK));
}

#[tokio::test]
async fn a_stalled_call_is_held_and_never_delivered() {
    let (proxy, upstream) = proxied().await;
    let stall = proxy.inject(Fault::Stall);
    let mut stalled = Box::pin(call(&proxy, "PutItem", json!({})));
    tokio::select! {
        answer = &mut stalled => panic!("{answer:?}"),
        () = stall.struck() => {}
    }
    // Others pass meanwhile.
    call(&proxy, "GetItem", json!({})).await.unwrap();
    stall.release();
    stalled.await.unwrap_err();
    assert_eq!(upstream.received(), 1);
    assert_eq!(stall.strikes(), 1);
}

#[tokio::test]
async fn dropping_or_clearing_the_proxy_ends_a_stall() {
    let (proxy, upstream) = proxied().await;
    let url = proxy.url();
    let stall = proxy.inject(Fault::Stall);
    let stalled = tokio::spawn(client().post(&url).body("{}").send());
    stall.struck().await;
    proxy.clear();
    stalled.await.unwrap().unwrap_err();

    let stall = proxy.inject(Fault::Stall);
    let stalled = tokio::spawn(client().post(&url).body("{}").send());
    stall.struck().await;
    drop(proxy);
    stalled.await.unwrap().unwrap_err();
    assert_eq!(upstream.received(), 0);
}

#[tokio::test]
async fn a_held_call_is_delivered_when_it_is_released() {
    let (proxy, upstream) = proxied().await;
    let hold = proxy.inject(Fault::Hold).on("UpdateItem");
    let proxy = Arc::new(proxy);
    let held = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { call(&proxy, "UpdateItem", json!({"held": true})).await }
    });
    hold.struck().await;
    call(&proxy, "UpdateItem", json!({"held": false})).await.unwrap();
    hold.release();
    held.await.unwrap().unwrap();
    let order = upstream.received.lock().unwrap().iter().map(|(_, _, body)| body.contains("true")).collect::<Vec<_>>();
    assert_eq!(order, [false, true]);
}

#[tokio::test]
async fn a_held_call_arrives_late_even_if_its_caller_has_given_up() {
    let (proxy, upstream) = proxied().await;
    let hold = proxy.inject(Fault::Hold);
    let given_up = tokio::spawn(client().post(proxy.url()).body("{}").send());
    hold.struck().await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    call(&proxy, "GetItem", json!({})).await.unwrap();
    assert_eq!(upstream.received(), 1);
    hold.release();
    while upstream.received() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_in_the_services_name_are_not_delivered() {
    let (proxy, upstream) = proxied().await;
    proxy.inject(Fault::Throttle);
    let (status, body) = call(&proxy, "PutItem", json!({})).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["__type"], "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException");

    proxy.inject(Fault::Throttle);
    let (status, body) = call_target(&proxy, "secretsmanager.CreateSecret", json!({})).await.unwrap();
    assert_eq!((status, &body["__type"]), (StatusCode::BAD_REQUEST, &json!("ThrottlingException")));

    proxy.inject(Fault::ServerError);
    let (status, body) = call(&proxy, "PutItem", json!({})).await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["__type"], "com.amazonaws.dynamodb.v20120810#InternalServerError");

    proxy.inject(Fault::ServerError);
    let (status, body) = call_target(&proxy, "secretsmanager.CreateSecret", json!({})).await.unwrap();
    assert_eq!((status, &body["__type"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("InternalServiceError")));

    proxy.inject(Fault::Status(StatusCode::IM_A_TEAPOT, r#"{"tea":true}"#.to_owned()));
    let answer = call(&proxy, "PutItem", json!({})).await.unwrap();
    assert_eq!(answer, (StatusCode::IM_A_TEAPOT, json!({"tea": true})));

    assert_eq!(upstream.received(), 0);
    assert_eq!(proxy.calls()[4].status(), Some(StatusCode::IM_A_TEAPOT));
    assert!(!proxy.calls()[4].delivered);
}

/// Which of these calls fail.
async fn failures(proxy: &FaultProxy, calls: &[(&str, Value)]) -> Vec<usize> {
    let mut failed = Vec::new();
    for (place, (operation, body)) in calls.iter().enumerate() {
        if call(proxy, operation, body.clone()).await.unwrap().0 != OK {
            failed.push(place + 1);
        }
    }
    failed
}

#[tokio::test]
async fn faults_strike_where_they_are_aimed() {
    let (proxy, _) = proxied().await;
    let (put, get, update) = (("PutItem", json!({})), ("GetItem", json!({})), ("UpdateItem", json!({"Key": 7})));
    let calls = [put.clone(), get.clone(), put.clone(), put, get, update];
    let throttle = || {
        proxy.clear();
        proxy.inject(Fault::Throttle)
    };

    throttle();
    assert_eq!(failures(&proxy, &calls).await, [1]);
    throttle().always();
    assert_eq!(failures(&proxy, &calls).await, [1, 2, 3, 4, 5, 6]);
    throttle().on("GetItem");
    assert_eq!(failures(&proxy, &calls).await, [2]);
    throttle().on("PutItem").always();
    assert_eq!(failures(&proxy, &calls).await, [1, 3, 4]);
    throttle().on("PutItem").on("UpdateItem").always();
    assert_eq!(failures(&proxy, &calls).await, [1, 3, 4, 6]);
    throttle().on("PutItem").nth(2);
    assert_eq!(failures(&proxy, &calls).await, [3]);
    throttle().on("PutItem").nth(2).times(2);
    assert_eq!(failures(&proxy, &calls).await, [3, 4]);
    throttle().on("GetItem").nth(3).always();
    assert!(failures(&proxy, &calls).await.is_empty());
    throttle().when(|body| body["Key"] == 7);
    assert_eq!(failures(&proxy, &calls).await, [6]);
    throttle().at_step(5).always();
    assert_eq!(failures(&proxy, &calls).await, [5, 6]);
    throttle().on("PutItem").at_step(3).times(3);
    assert_eq!(failures(&proxy, &calls).await, [3, 4]);
    throttle().on("PutItem").at_step(2);
    assert!(failures(&proxy, &calls).await.is_empty());

    for step in 1..=calls.len() {
        let injection = throttle().at_step(step);
        assert_eq!(failures(&proxy, &calls).await, [step]);
        assert_eq!(injection.strikes(), 1);
    }
}

#[tokio::test]
async fn of_two_faults_the_earlier_strikes() {
    let (proxy, _) = proxied().await;
    let first = proxy.inject(Fault::Throttle);
    let second = proxy.inject(Fault::ServerError).times(2);
    let answers =
        [call(&proxy, "PutItem", json!({})).await.unwrap().0, call(&proxy, "PutItem", json!({})).await.unwrap().0];
    assert_eq!(answers, [StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR]);
    assert_eq!((first.strikes(), second.strikes()), (1, 1));
}

#[tokio::test]
async fn the_upstream_can_be_exchanged() {
    let (proxy, first) = proxied().await;
    let (second, address) = Upstream::start("second").await;
    // One connection to the proxy, whose connection to the upstream is alive when it changes.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || client.post(proxy.url()).body("{}").send().await.unwrap().text().await.unwrap();
    assert_eq!(ask().await, r#"{"from":"upstream"}"#);
    proxy.forward_to(address);
    assert_eq!(ask().await, r#"{"from":"second"}"#);
    assert_eq!((first.received(), second.received()), (1, 1));

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.forward_to(nobody);
    call(&proxy, "PutItem", json!({})).await.unwrap_err();
    assert!(!proxy.calls()[2].delivered);
}

#[tokio::test]
async fn one_proxy_counts_through_both_services() {
    let (proxy, table) = proxied().await;
    let (secrets, address) = Upstream::start("secrets").await;
    proxy.forward_service_to(Service::SecretsManager, address);
    proxy.inject(Fault::Throttle).at_step(3);
    assert_eq!(call_target(&proxy, "secretsmanager.CreateSecret", json!({})).await.unwrap().1["from"], "secrets");
    assert_eq!(call(&proxy, "PutItem", json!({})).await.unwrap().1["from"], "upstream");
    let (status, _) = call_target(&proxy, "secretsmanager.TagResource", json!({})).await.unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!((table.received(), secrets.received()), (1, 1));
    assert_eq!(proxy.operations(), ["CreateSecret", "PutItem", "TagResource"]);
}

#[tokio::test]
async fn an_upstream_that_closes_idle_connections_is_reached_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let (closing, mut closed) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            drop(stream);
            closing.send(()).await.unwrap();
        }
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..20 {
        assert_eq!(client.get(proxy.url()).send().await.unwrap().status(), OK);
        closed.recv().await.unwrap();
    }
}

/// The real emulator behind a proxy, with one table.
async fn dynamodb(attempts: u32) -> (FaultProxy, dynamodb::Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let database = Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let config = dynamodb::Config::builder()
        .behavior_version(dynamodb::config::BehaviorVersion::latest())
        .endpoint_url(proxy.url())
        .region(dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(dynamodb::config::Credentials::new("id", "secret", None, None, "test"))
        .http_client(shared::egress::aws::client(None))
        .retry_config(retries(attempts));
    let client = dynamodb::Client::from_conf(config.build());
    let key = |name: &str, kind| {
        let element = dynamodb::types::KeySchemaElement::builder().attribute_name(name).key_type(kind);
        element.build().unwrap()
    };
    let definition = |name: &str| {
        let definition = dynamodb::types::AttributeDefinition::builder().attribute_name(name);
        definition.attribute_type(dynamodb::types::ScalarAttributeType::S).build().unwrap()
    };
    let index = dynamodb::types::GlobalSecondaryIndex::builder()
        .index_name("by_group")
        .key_schema(key("group", dynamodb::types::KeyType::Hash))
        .projection(
            dynamodb::types::Projection::builder().projection_type(dynamodb::types::ProjectionType::KeysOnly).build(),
        );
    let table = client.create_table().table_name("table").key_schema(key("id", dynamodb::types::KeyType::Hash));
    table
        .attribute_definitions(definition("id"))
        .attribute_definitions(definition("group"))
        .global_secondary_indexes(index.build().unwrap())
        .billing_mode(dynamodb::types::BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    proxy.forget_calls();
    (proxy, client)
}

fn retries(attempts: u32) -> dynamodb::config::retry::RetryConfig {
    let short = std::time::Duration::from_millis(1);
    dynamodb::config::retry::RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(short)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[tokio::test]
async fn the_sdk_understands_every_fault() {
    let (proxy, client) = dynamodb(1).await;
    let get = async || client.get_item().table_name("table").key("id", text("1")).send().await;

    proxy.inject(Fault::Throttle);
    let error = get().await.unwrap_err().into_service_error();
    assert!(error.is_provisioned_throughput_exceeded_exception(), "{error:?}");
    proxy.inject(Fault::ServerError);
    let error = get().await.unwrap_err().into_service_error();
    assert!(error.is_internal_server_error(), "{error:?}");
    proxy.inject(Fault::Status(StatusCode::BAD_REQUEST, json!({"__type": "x#OddException"}).to_string()));
    assert_eq!(get().await.unwrap_err().code(), Some("OddException"));
    for fault in [Fault::Refuse, Fault::Reset, Fault::LoseAnswer] {
        proxy.inject(fault);
        let error = get().await.unwrap_err();
        assert!(matches!(error, dynamodb::error::SdkError::DispatchFailure(_)), "{error:?}");
    }
    assert!(get().await.unwrap().item.is_none());
}

#[tokio::test]
async fn secrets_manager_errors_are_understood_too() {
    let (proxy, _) = proxied().await;
    let config = secretsmanager::Config::builder()
        .behavior_version(secretsmanager::config::BehaviorVersion::latest())
        .endpoint_url(proxy.url())
        .region(secretsmanager::config::Region::new("us-east-1"))
        .credentials_provider(secretsmanager::config::Credentials::new("id", "secret", None, None, "test"))
        .http_client(shared::egress::aws::client(None))
        .retry_config(retries(1));
    let client = secretsmanager::Client::from_conf(config.build());
    let create = async || client.create_secret().name("name").secret_string("value").send().await;
    proxy.inject(Fault::Throttle);
    assert_eq!(create().await.unwrap_err().code(), Some("ThrottlingException"));
    proxy.inject(Fault::ServerError);
    let error = create().await.unwrap_err().into_service_error();
    assert!(error.is_internal_service_error(), "{error:?}");
    create().await.unwrap();
    assert_eq!(proxy.operations(), ["CreateSecret"; 3]);
    assert_eq!(proxy.calls()[0].service, Service::SecretsManager);
}

#[tokio::test]
async fn the_sdk_repeats_what_was_lost() {
    let (proxy, client) = dynamodb(3).await;
    proxy.inject(Fault::LoseAnswer).on("UpdateItem");
    let update = client.update_item().table_name("table").key("id", text("1")).update_expression("ADD amount :one");
    update.expression_attribute_values(":one", AttributeValue::N("1".to_owned())).send().await.unwrap();

    let calls = proxy.calls();
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2]);
    assert!(calls.iter().all(|call| call.delivered));
    let item = client.get_item().table_name("table").key("id", text("1")).send().await.unwrap().item.unwrap();
    assert_eq!(item["amount"], AttributeValue::N("2".to_owned()));
}

#[tokio::test]
async fn a_fault_for_always_outlasts_the_sdk() {
    let (proxy, client) = dynamodb(3).await;
    proxy.inject(Fault::Refuse).always();
    client.get_item().table_name("table").key("id", text("1")).send().await.unwrap_err();
    assert_eq!(proxy.calls().iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn consumed_capacity_is_measured_unnoticed() {
    let (proxy, client) = dynamodb(1).await;
    let put = client.put_item().table_name("table").item("id", text("1")).item("group", text("a"));
    assert!(put.clone().send().await.unwrap().consumed_capacity.is_none());
    let call = proxy.calls().remove(0);
    assert!(call.request.get("ReturnConsumedCapacity").is_none());
    assert!(call.answer.unwrap().body.get("ConsumedCapacity").is_none());
    assert_eq!((call.capacity[0].table.as_str(), call.capacity[0].units), ("table", 2.0));
    assert_eq!(call.capacity[0].indexes["by_group"].units, 1.0);

    // Who asks for it gets it. The index is not written again, as nothing in it changes.
    let returned = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    assert_eq!(returned.consumed_capacity.unwrap().capacity_units, Some(1.0));
    assert_eq!(proxy.calls()[1].consumed(), 1.0);

    proxy.forget_calls();
    client.get_item().table_name("table").key("id", text("1")).send().await.unwrap();
    let get = dynamodb::types::Get::builder().table_name("table").key("id", text("1")).build().unwrap();
    let get = dynamodb::types::TransactGetItem::builder().get(get).build();
    client.transact_get_items().transact_items(get).send().await.unwrap();
    client.describe_table().table_name("table").send().await.unwrap();
    assert_eq!(proxy.calls().iter().map(|call| call.consumed()).collect::<Vec<_>>(), [0.5, 2.0, 0.0]);
    assert_eq!(proxy.consumed(), 2.5);

    // What the proxy took out left the rest of the answer whole.
    let query = client.query().table_name("table").key_condition_expression("id = :id");
    let page = query.expression_attribute_values(":id", text("1")).send().await.unwrap();
    assert_eq!((page.count, page.items()[0]["group"].clone()), (1, text("a")));
}
