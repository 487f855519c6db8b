//! `--help` of every command says what it does, and a command that does not exist is refused.

use crate::process::{causeway, run};

#[tokio::test]
async fn a_command_that_does_not_exist_is_refused() {
    for (arguments, named) in [
        (&["serve"][..], "'serve'"),
        (&["dev", "--prot", "3000"], "'--prot'"),
        (&["dev", "--port", "70000"], "'70000'"),
        (&["token"], "Usage: causeway token"),
        (&["token", "create"], "--tenant"),
        (&["token", "revoke", "tok_1"], "--tenant"),
        (&["invoke"], "<FUNCTION>"),
    ] {
        let ended = run(causeway(arguments)).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.contains(named), "{arguments:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn every_command_says_what_it_does() {
    for (arguments, purpose, options) in [
        (
            &[][..],
            "Causeway, an integrations backend. Without a command: `dev --sandbox`",
            &["dev", "token", "upstreams", "invoke", "env", "openapi"][..],
        ),
        (&["dev"], "Run the whole stack on one port", &["--port", "--data-dir", "--fresh", "--sandbox"]),
        (
            &["token"],
            "Mint, list, show, rotate and revoke tokens, on the local stack or a deployed one",
            &["create", "list", "show", "rotate", "revoke"],
        ),
        (
            &["token", "create"],
            "Mint a token. It is shown once and cannot be had again",
            &[
                "--tenant",
                "--user",
                "--name",
                "--permissions",
                "--expires-in",
                "--client-id",
                "--data-dir",
                "--stack",
                "--table",
                "--profile",
                "--region",
            ],
        ),
        (&["token", "list"], "List tokens: of one tenant, or of all", &["--tenant", "--json", "--stack"]),
        (&["token", "show"], "Show what is known of a token", &["<ID>", "--tenant", "--json", "--stack"]),
        (
            &["token", "rotate"],
            "Mint a token in place of another, with the same permissions, and let the old one end",
            &["<ID>", "--tenant", "--grace", "--expires-in", "--json", "--stack"],
        ),
        (
            &["token", "revoke"],
            "Revoke a token by its id. It stops working within a minute",
            &["<ID>", "--tenant", "--stack"],
        ),
        (
            &["audit"],
            "Show who did what to which integration, on the local stack or a deployed one",
            &["--tenant", "--integration", "--since", "--until", "--json", "--data-dir", "--stack"],
        ),
        (&["upstreams"], "List the outside providers and the variables that point them elsewhere", &[]),
        (
            &["invoke"],
            "Send an event to a function of the running local stack",
            &["<FUNCTION>", "[EVENT]", "--data-dir"],
        ),
    ] {
        let ended = run(causeway(&[arguments, &["--help"]].concat())).await;
        let help = ended.printed();
        assert!(help.starts_with(purpose), "{arguments:?}: {help}");
        for option in options {
            assert!(help.contains(option), "{arguments:?} without {option}: {help}");
        }
    }
}

#[tokio::test]
async fn the_version_is_the_packages() {
    let ended = run(causeway(&["--version"])).await;
    assert_eq!(ended.printed(), format!("causeway {}\n", env!("CARGO_PKG_VERSION")));
}
