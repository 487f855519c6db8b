//! `causeway upstreams`.

use crate::process::{causeway, run};

#[tokio::test]
async fn a_variable_that_names_no_upstream_is_refused() {
    let mut command = causeway(&["upstreams"]);
    command.env("CAUSEWAY_ENDPOINT_SLAK", "https://example.com");
    let ended = run(command).await;
    assert!(ended.refusal().contains("CAUSEWAY_ENDPOINT_SLAK: names no upstream"), "{ended:?}");
}

#[tokio::test]
async fn every_upstream_is_listed_with_its_default_and_what_overrides_it() {
    let mut command = causeway(&["upstreams"]);
    command.env("CAUSEWAY_ENDPOINT_RESEND", "http://127.0.0.1:9/base");
    let ended = run(command).await;
    let listed: Vec<(&str, &str)> = ended.printed().lines().map(|line| line.split_once(' ').unwrap()).collect();
    let known: Vec<String> =
        shared::egress::Upstream::ALL.iter().map(|upstream| format!("CAUSEWAY_ENDPOINT_{}", upstream.name())).collect();
    assert_eq!(listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), known);
    for (name, rest) in listed {
        let rest = rest.trim_start();
        assert!(rest.starts_with("https://"), "{name}: {rest}");
        let overridden = rest.contains("(overridden: ");
        assert_eq!(overridden, name == "CAUSEWAY_ENDPOINT_RESEND", "{name}: {rest}");
        if overridden {
            assert_eq!(rest, "https://api.resend.com  (overridden: http://127.0.0.1:9/base)");
        }
    }
}
