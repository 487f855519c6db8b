//! The local stack takes the operator's issuer from its environment, as it takes OAuth clients.

use fakes::issuer::{Algorithm, Issuer};
use serde_json::json;

use crate::process::{Stack, causeway, run, sandbox};

#[tokio::test]
async fn a_token_of_the_issuer_that_the_environment_names_works() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer::start().await.unwrap();
    let key = issuer.add_key("first", Algorithm::EdDsa).unwrap();
    let mut command = causeway(&sandbox(folder.path()));
    command.env("CAUSEWAY_OIDC_ISSUER", issuer.url()).env("CAUSEWAY_OIDC_AUDIENCE", "causeway");
    command.env("CAUSEWAY_OIDC_PERMISSIONS_CLAIM", "scope").env("CAUSEWAY_OIDC_ALGORITHM", "EdDSA");
    command.env("CAUSEWAY_EGRESS_ALLOW", issuer.host.address().to_string());
    let stack = Stack::run(command, folder.path()).await;
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": issuer.url(), "aud": "causeway", "exp": now + 600, "sub": "user_1", "tenant": "acme",
        "scope": "openid services:read",
    });
    let client = stack.services_as(&key.sign(&key.header(), &claims).unwrap());
    client.expect(200, "GET", "", None).await;
    client.expect(403, "DELETE", "/int_000000000000000000000", None).await;
    stack.services().expect(200, "GET", "", None).await;
    stack.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_half_set_keeps_the_stack_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = causeway(&sandbox(folder.path()));
    command.env("CAUSEWAY_OIDC_ISSUER", "http://id.example.com").env("CAUSEWAY_OIDC_ALGORITHM", "HS256");
    let ended = run(command).await;
    let line = ended.refusal();
    for variable in
        ["CAUSEWAY_OIDC_ISSUER: is not", "CAUSEWAY_OIDC_AUDIENCE: is not set", "CAUSEWAY_OIDC_ALGORITHM: is"]
    {
        assert!(line.contains(variable), "{variable}: {line}");
    }
}
