//! Where users can make us send requests to: public addresses, and what the operator allows. Everything here goes
//! through the API, as an attacker would.
//!
//! The lists are those that Svix's, Oxide's and Nango's tests share: every reserved network, every way to write an
//! address, names in place of addresses, answers that change between the look and the use, redirects, endless answers.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};

use fakes::webhook::{WebhookBehaviour, WebhookEndpoint};
use fakes::{Answer as Reply, Fault};
use kit::{Answer, TestApp};
use serde_json::{Value, json};
use shared::egress::Upstream;

use crate::services::fixtures::{config, create, read, send, test, with};

/// The types whose config holds an address of the user's choice, and its key.
const OPEN: [(&str, &str); 3] = [("webhook", "url"), ("web3", "rpcUrl"), ("ai-gateway", "baseUrl")];

/// Addresses as hosts of a URL: none of them is public, and every reserved network is there in some form.
const NOT_PUBLIC: &[&str] = &[
    // This host and its network.
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "[::1]",
    "[::]",
    // Private networks.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "[fc00::1]",
    "[fdff:ffff::1]",
    // Link-local, with the metadata services and the credentials of containers.
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "[fe80::1]",
    "[fd00:ec2::254]",
    // Carrier-grade NAT, with one cloud's metadata service.
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    // Protocol assignments, benchmarks, documentation.
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[5f00::1]",
    // Multicast, reserved, broadcast.
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[fec0::1]",
    // IPv4 inside of IPv6: mapped, compatible, translated, 6to4, its relay, NAT64, Teredo.
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[0:0:0:0:0:ffff:a00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::1]",
    "192.88.99.1",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a00:1]",
    "[2001:0:7f00:1::]",
    // Other ways to write IPv4: in one number, in few parts, octal, hexadecimal, with full-width digits.
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.1",
    "127.0.1",
    "10.1",
    "0",
    "0x0",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    // A dot at the end.
    "127.0.0.1.",
    "169.254.169.254.",
    "0x7f000001.",
    // Names that always mean something near.
    "localhost",
    "LOCALHOST",
    "localhost.",
    "app.localhost",
    "app.localhost.",
    "printer.local",
    "metadata.google.internal",
    "metadata.google.internal.",
    "router.home.arpa",
];

fn url(host: &str) -> String {
    format!("http://{host}/latest/meta-data/")
}

/// A working config whose address is another.
fn pointed_at(app: &TestApp, kind: &str, url: &str) -> Value {
    let (_, key) = OPEN.into_iter().find(|(name, _)| *name == kind).unwrap();
    with(config(app, kind), json!({ key: url }))
}

/// Checks that a request was refused because of this field, in words that give nothing away.
#[track_caller]
fn is_refused(answer: &Answer, field: &str, told: &str, kept: &[&str]) {
    let body = answer.expect(400);
    assert_eq!(body["error"], "invalid_input");
    let message = body["fields"][field].as_str().unwrap_or_else(|| panic!("{field} in {body}"));
    assert!(message.contains(told), "{told:?} is not in {message:?}");
    for part in kept {
        assert!(!answer.text.contains(part), "{part} is in {}", answer.text);
    }
}

/// A socket on this machine that notices whether anybody has connected.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn is_untouched(&self) {
        let connected = self.0.accept().map(|(_, from)| from);
        assert!(connected.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{connected:?}");
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_address_that_is_not_public_cannot_be_saved_however_it_is_written() {
    let app = TestApp::start().await;
    for (kind, key) in OPEN {
        for host in NOT_PUBLIC {
            let config = pointed_at(&app, kind, &url(host));
            let body = json!({ "name": "mine", "type": kind, "config": config });
            let answer = app.services().post("/api/integrations", &body).await;
            is_refused(
                &answer,
                &format!("config.{key}"),
                "private or reserved network",
                &["meta-data", "169.254", "127."],
            );
        }
    }
    assert_eq!(app.services().get("/api/integrations").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn it_can_neither_be_tried_nor_brought_in_by_an_update_or_an_override() {
    let app = TestApp::start().await;
    for (part, (kind, key)) in OPEN.into_iter().enumerate() {
        let id = create(&app, kind, &pointed_at(&app, kind, "https://gateway.example/v1")).await;
        let before = read(&app, &id).await;
        // A part of the list for each type: they share the guard.
        for host in NOT_PUBLIC.iter().skip(part).step_by(OPEN.len()) {
            let (services, change) = (app.services(), json!({ key: url(host) }));
            let config = pointed_at(&app, kind, &url(host));
            let kept = ["meta-data", "169.254", "127."];
            let tried = services.post("/api/integrations/test", &json!({ "type": kind, "config": config })).await;
            is_refused(&tried, &format!("config.{key}"), "private or reserved network", &kept);
            let updated = services.put(&format!("/api/integrations/{id}"), &json!({ "config": change })).await;
            is_refused(&updated, &format!("config.{key}"), "private or reserved network", &kept);
            let overridden =
                services.post(&format!("/api/integrations/{id}/test"), &json!({ "configOverrides": change })).await;
            is_refused(&overridden, &format!("configOverrides.{key}"), "private or reserved network", &kept);
        }
        assert_eq!(read(&app, &id).await, before);
    }
}

#[tokio::test]
async fn what_is_not_a_plain_web_address_cannot_be_saved() {
    let app = TestApp::start().await;
    for (kind, key) in OPEN {
        for (url, told) in [
            ("ftp://example.com/", "an http or https URL"),
            ("file:///etc/passwd", "an http or https URL"),
            ("gopher://example.com/", "an http or https URL"),
            ("javascript:alert(1)", "an http or https URL"),
            ("//example.com/", "an http or https URL"),
            ("example.com", "an http or https URL"),
            ("http://", "an http or https URL"),
            ("http://example.com:99999/", "an http or https URL"),
            ("http://256.256.256.256/", "an http or https URL"),
            ("http://exa\nmple.com/", "an http or https URL"),
            ("http://user@example.com/", "cannot be used: a user name or password in the URL is not accepted"),
            ("http://user:word@example.com/", "a user name or password"),
            ("http://:word@example.com/", "a user name or password"),
            ("http://127.0.0.1@example.com/", "a user name or password"),
            ("http://example.com@127.0.0.1/", "a user name or password"),
        ] {
            let body = json!({ "name": "mine", "type": kind, "config": pointed_at(&app, kind, url) });
            let answer = app.services().post("/api/integrations", &body).await;
            is_refused(&answer, &format!("config.{key}"), told, &["user:word", "passwd"]);
        }
        let long = pointed_at(&app, kind, &format!("https://example.com/{}", "x".repeat(9_000)));
        let answer =
            app.services().post("/api/integrations", &json!({ "name": "mine", "type": kind, "config": long })).await;
        is_refused(&answer, &format!("config.{key}"), "an http or https URL", &["xxxx"]);
    }
}

/// Backslashes, tabs and encoded dots are read as a browser reads them, so what is judged is what would be connected to.
#[tokio::test]
async fn tricks_of_spelling_do_not_hide_an_address() {
    let app = TestApp::start().await;
    for url in [
        "http:\\\\127.0.0.1\\hook",
        "http:/127.0.0.1/hook",
        "http:127.0.0.1/hook",
        "http:////127.0.0.1/hook",
        "http://127%2e0%2e0%2e1/hook",
        "http://127。0。0。1/hook",
        "http://%31%32%37.0.0.1/hook",
        "HTTP://LocalHost/hook",
        "http://loc\u{ad}alhost/hook",
        "http://127.0.0.1:80/hook",
        "http://127.0.0.1#.example.com",
        "http://127.0.0.1?.example.com",
        "http://[::ffff:127.0.0.1]:8080/hook",
    ] {
        let body = json!({ "name": "mine", "type": "webhook", "config": { "url": url } });
        let answer = app.services().post("/api/integrations", &body).await;
        is_refused(&answer, "config.url", "private or reserved network", &["127.0.0.1"]);
    }
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_cannot_be_saved() {
    let app = TestApp::start().await;
    let public = address("93.184.215.14");
    for inside in [
        "127.0.0.1",
        "10.20.30.40",
        "169.254.169.254",
        "100.64.0.7",
        "192.88.99.1",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:10.20.30.40",
        "2002:a14:1e28::1",
        "64:ff9b::a14:1e28",
        "2001:0:a14:1e28::",
    ] {
        for answer in [vec![address(inside)], vec![public, address(inside)], vec![address(inside), public]] {
            app.names.set("inside.example", &answer);
            for (kind, key) in OPEN {
                for host in ["inside.example", "INSIDE.example", "inside.example."] {
                    let config = pointed_at(&app, kind, &format!("https://{host}/hook"));
                    let body = json!({ "name": "mine", "type": kind, "config": config });
                    let answer = app.services().post("/api/integrations", &body).await;
                    let kept = [inside, "inside.example", "10.20.30.40"];
                    is_refused(&answer, &format!("config.{key}"), "private or reserved network", &kept);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_yet_can_be_saved_and_is_judged_when_it_is_used() {
    let app = TestApp::start().await;
    let trap = Trap::set();
    for (kind, _) in OPEN {
        let name = format!("{kind}.later.example");
        let id = create(&app, kind, &pointed_at(&app, kind, &format!("http://{name}:{}/v1", trap.port()))).await;
        let report = test(&app, &id).await;
        assert_eq!(report["verdict"], "inconclusive", "{report}");
        assert!(report["message"].as_str().unwrap().contains("could not be resolved"), "{report}");
        app.names.set(&name, &[address("127.0.0.1")]);
        assert_eq!(test(&app, &id).await["verdict"], "invalid");
    }
    trap.is_untouched();
}

/// The name is public when it is looked at and private when it is used.
#[tokio::test]
async fn a_name_that_changes_its_mind_is_not_connected_to() {
    let app = TestApp::start().await;
    let trap = Trap::set();
    let (public, inside) = (address("93.184.215.14"), address("127.0.0.1"));
    for (kind, _) in OPEN {
        for turned in [vec![inside], vec![public, inside], vec![address("::ffff:127.0.0.1")]] {
            app.names.set_in_turn("rebinding.example", &[&[public], &turned]);
            let target = format!("http://rebinding.example:{}/v1", trap.port());
            let id = create(&app, kind, &pointed_at(&app, kind, &target)).await;
            let answer = app.services().post_empty(&format!("/api/integrations/{id}/test")).await;
            let report = answer.expect(200);
            assert_eq!(
                (&report["status"], &report["verdict"]),
                (&json!("error"), &json!("invalid")),
                "{kind}: {report}"
            );
            assert!(report["message"].as_str().unwrap().contains("private or reserved network"), "{kind}: {report}");
            for part in ["127.0.0.1", "rebinding.example", &trap.port().to_string()] {
                assert!(!answer.text.contains(part), "{part} is in {}", answer.text);
            }
        }
    }
    trap.is_untouched();
}

#[tokio::test]
async fn neither_a_ping_nor_a_message_nor_an_override_goes_where_a_name_has_turned_to() {
    let app = TestApp::start().await;
    let trap = Trap::set();
    let turning = || {
        app.names.set_in_turn("rebinding.example", &[&[address("93.184.215.14")], &[address("127.0.0.1")]]);
        format!("http://rebinding.example:{}/hook", trap.port())
    };
    let config = pointed_at(&app, "webhook", &turning());
    let id = create(&app, "webhook", &config).await;
    let path = format!("/api/integrations/{id}/test");
    let pinged = app.services().post(&path, &json!({ "sendPing": true })).await.expect(200);
    assert_eq!(pinged["verdict"], "invalid");
    let sent = send(&app, &id, &json!({ "text": "hello" })).await;
    let refused = sent.expect(502);
    assert_eq!(refused["error"], "provider_refused");
    assert!(refused["detail"].as_str().unwrap().contains("private or reserved network"), "{refused}");
    assert!(!sent.text.contains("127.0.0.1") && !sent.text.contains("rebinding"), "{}", sent.text);
    let overrides = json!({ "configOverrides": { "url": turning() }, "sendPing": true });
    assert_eq!(app.services().post(&path, &overrides).await.expect(200)["verdict"], "invalid");
    let tried = json!({ "type": "webhook", "config": { "url": turning() }, "sendPing": true });
    assert_eq!(app.services().post("/api/integrations/test", &tried).await.expect(200)["verdict"], "invalid");
    trap.is_untouched();
}

#[tokio::test]
async fn a_redirect_is_not_followed_wherever_it_leads() {
    let app = TestApp::start().await;
    let trap = Trap::set();
    let targets = [
        format!("http://127.0.0.1:{}/latest/meta-data/", trap.port()),
        format!("http://localhost:{}/", trap.port()),
        app.demo.webhook_url.clone(),
        "/elsewhere".to_owned(),
    ];
    for status in [301, 302, 303, 307, 308] {
        for target in &targets {
            let redirect = Fault::Answer(Reply::status(status).header("location", target));
            for (kind, host) in [
                ("web3", &app.fakes.evm.host),
                ("ai-gateway", &app.fakes.openai_compatible.host),
                ("discord", &app.fakes.discord.host),
                ("slack", &app.fakes.slack.hooks),
            ] {
                let config = match kind {
                    "ai-gateway" => pointed_at(&app, kind, &app.demo.openai_compatible_base_url),
                    kind => config(&app, kind),
                };
                host.forget_requests();
                host.faults().next(1, redirect.clone());
                let body = json!({ "type": kind, "config": config });
                let report = app.services().post("/api/integrations/test", &body).await.expect(200);
                assert_eq!(report["verdict"], "inconclusive", "{kind}: {report}");
                assert_eq!(host.requests().len(), 1, "{kind}");
            }
            let redirecting =
                WebhookEndpoint::new("/redirecting").with_behaviour(WebhookBehaviour::redirect(status, target));
            let url = app.fakes.webhook.add_endpoint(redirecting);
            let body = json!({ "type": "webhook", "config": { "url": url }, "sendPing": true });
            let report = app.services().post("/api/integrations/test", &body).await.expect(200);
            assert_eq!(report["verdict"], "invalid", "{report}");
        }
    }
    let paths: Vec<String> = app.fakes.webhook.host.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.iter().all(|path| path == "/redirecting"), "{paths:?}");
    trap.is_untouched();
}

#[tokio::test]
async fn an_answer_is_read_only_so_far() {
    let app = TestApp::start().await;
    let endless = WebhookEndpoint::new("/endless").with_behaviour(WebhookBehaviour::Endless);
    let url = app.fakes.webhook.add_endpoint(endless);
    let body = json!({ "type": "webhook", "config": { "url": url }, "sendPing": true });
    let report = app.services().post("/api/integrations/test", &body).await.expect(200);
    assert_eq!(report["verdict"], "inconclusive", "{report}");
    let taken = app.fakes.webhook.endless_bytes();
    assert!(taken < 32 * 1024 * 1024, "{taken} bytes were taken");

    for (kind, host, most) in [
        ("web3", &app.fakes.evm.host, 64 * 1024),
        ("discord", &app.fakes.discord.host, 64 * 1024),
        ("resend", &app.fakes.resend.host, 1024 * 1024),
        ("ai-gateway", &app.fakes.ai_gateway.host, 64 * 1024),
    ] {
        let huge = json!({ "jsonrpc": "2.0", "id": 1, "result": "0xaa36a7", "padding": "x".repeat(most) });
        host.faults().next(1, Fault::Answer(Reply::status(200).json(&huge)));
        let body = json!({ "type": kind, "config": config(&app, kind) });
        let report = app.services().post("/api/integrations/test", &body).await.expect(200);
        assert_eq!(report["verdict"], "inconclusive", "{kind}: {report}");
        assert!(report["message"].as_str().unwrap().contains(&format!("larger than {most} bytes")), "{kind}: {report}");
    }
}

#[tokio::test]
async fn an_address_that_the_operator_allows_works_and_its_neighbours_do_not() {
    let app = TestApp::start().await;
    let allowed = app.fakes.webhook.address();
    let trap = Trap::set();
    let body = |url: String| json!({ "type": "webhook", "config": { "url": url } });
    let report =
        app.services().post("/api/integrations/test", &body(format!("http://{allowed}/hook"))).await.expect(200);
    assert_eq!(report["verdict"], "valid");
    app.names.set("alias.example", &[allowed.ip()]);
    for neighbour in [
        format!("http://127.0.0.1:{}/hook", trap.port()),
        format!("http://127.0.0.2:{}/hook", allowed.port()),
        format!("http://localhost:{}/hook", allowed.port()),
        format!("http://alias.example:{}/hook", allowed.port()),
        format!("http://[::ffff:127.0.0.1]:{}/hook", allowed.port()),
        "http://127.0.0.1/hook".to_owned(),
    ] {
        let answer = app.services().post("/api/integrations/test", &body(neighbour)).await;
        is_refused(&answer, "config.url", "private or reserved network", &["127.0.0.1"]);
    }
    trap.is_untouched();
}

/// Where the operator has put a provider is nothing to users: an address of that provider's own is one like any other. Here
/// each provider is put elsewhere, and no name can be resolved.
#[tokio::test]
async fn an_address_at_a_provider_does_not_lead_to_where_the_operator_has_put_that_provider() {
    let app = TestApp::start().await;
    for &upstream in Upstream::ALL {
        for (kind, key) in OPEN {
            // Which names Vercel's gateway itself: then only its own documented call is made.
            if (kind, upstream) == ("ai-gateway", Upstream::AiGateway) {
                continue;
            }
            let config = pointed_at(&app, kind, &format!("{}/admin/keys?as=root", upstream.default_url()));
            let body = json!({ "type": kind, "config": config, "sendPing": true });
            let report = app.services().post("/api/integrations/test", &body).await.expect(200);
            let told = report["message"].as_str().unwrap();
            assert_eq!(report["verdict"], "inconclusive", "{kind} {key} {}: {report}", upstream.name());
            assert!(told.contains("could not be resolved"), "{kind} {key} {}: {report}", upstream.name());
        }
    }
    app.names.set("api.openai.com", &[address("127.0.0.1")]);
    for (kind, key) in OPEN {
        let body = json!({ "type": kind, "config": pointed_at(&app, kind, "https://api.openai.com/v1") });
        let answer = app.services().post("/api/integrations/test", &body).await;
        is_refused(&answer, &format!("config.{key}"), "private or reserved network", &["127.0.0.1", "openai"]);
    }
}

/// A Slack or Discord webhook is a URL that users have. It leads to where the operator has put the provider, whatever its
/// name resolves to, and nothing but a webhook's path is asked for there.
#[tokio::test]
async fn a_webhook_of_slack_or_discord_leads_to_where_the_operator_has_put_them() {
    let app = TestApp::start().await;
    for (kind, host, origin, webhooks) in [
        ("slack", &app.fakes.slack.hooks, "https://hooks.slack.com", "/services/T0SANDBOX/B0SANDBOX"),
        ("discord", &app.fakes.discord.host, "https://discord.com", "/api/webhooks/100000000000000001"),
    ] {
        app.names.set(origin.trim_start_matches("https://"), &[address("127.0.0.1")]);
        let id = create(&app, kind, &config(&app, kind)).await;
        assert_eq!(test(&app, &id).await["verdict"], "valid", "{kind}");
        let _ = send(&app, &id, &json!({ "text": "hello" })).await.expect(200);
        assert_eq!(host.requests().len(), 2, "{kind}");
        host.forget_requests();
        for path in [
            "/admin".to_owned(),
            format!("{webhooks}/../../../../admin"),
            format!("{webhooks}/..%2f..%2f..%2f..%2fadmin"),
            format!("{webhooks}/..;..;admin"),
            format!("{webhooks}/%2e%2e%5cadmin"),
        ] {
            let id = create(&app, kind, &json!({ "webhookUrl": format!("{origin}{path}") })).await;
            assert_eq!(test(&app, &id).await["verdict"], "invalid", "{kind} {path}");
            let refused = send(&app, &id, &json!({ "text": "hello" })).await.expect(400);
            assert!(refused["fields"]["webhookUrl"].is_string(), "{kind} {path}: {refused}");
        }
        assert!(host.requests().is_empty(), "{kind}: {:?}", host.requests());
    }
}
