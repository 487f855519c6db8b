//! The authorisation matrix: every operation of the documents as nobody, with every permission but its own, as another
//! tenant, and with its own permission alone.

use local::stack::GROUPS;
use serde_json::Value;
use shared::auth::Permission;

use super::operations::{Row, Stranger, World, marks, rows};
use super::{conforms, document, operation, operations_of};

/// A row's outcome: four statuses, of which one does not apply to what is for everybody.
struct Outcome {
    group: &'static str,
    id: &'static str,
    permission: String,
    cells: [String; 4],
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let rows = rows();
    let mut count = 0;
    for group in GROUPS {
        for described in operations_of(&document(group.name)) {
            let matching = rows.iter().filter(|row| row.is_of(group.name, &described)).count();
            assert_eq!(matching, 1, "{} of {} needs a row in operations.rs", described.id, group.name);
            count += 1;
        }
    }
    assert_eq!(rows.len(), count);
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the table is for who reads what the tests print")]
async fn only_who_may_is_answered() {
    let world = World::made().await;
    let mut outcomes = Vec::new();
    for row in rows() {
        outcomes.push(outcome(&world, &row).await);
    }
    println!(
        "{:<10}{:<26}{:<20}{:>8}{:>10}{:>10}{:>10}",
        "group", "operation", "permission", "nobody", "without", "stranger", "with"
    );
    for Outcome { group, id, permission, cells: [nobody, without, stranger, with] } in outcomes {
        println!("{group:<10}{id:<26}{permission:<20}{nobody:>8}{without:>10}{stranger:>10}{with:>10}");
    }
}

async fn outcome(world: &World, row: &Row) -> Outcome {
    let document = document(row.group);
    let described = operation(&document, row.id);
    let method = described.method.as_str();
    let permission = described.value["x-required-permission"].as_str();
    assert_eq!(permission.is_none(), row.is_public(), "{} of {}", row.id, row.group);
    let needed = permission.map(|name| Permission::named(name).unwrap());

    let nobody = world.client(row.group, "acme", &[]).await.without("authorization");
    let nobody = (row.call)(world).send(&nobody, method).await;
    conforms(&document, row.id, &nobody);
    let Some(needed) = needed else {
        assert_eq!(nobody.status.as_u16(), row.status, "{} as nobody: {}", row.id, nobody.text);
        let cells = [nobody.status.as_u16().to_string(), "-".into(), "-".into(), "-".into()];
        return Outcome { group: row.group, id: row.id, permission: "for everybody".into(), cells };
    };
    let place = format!("{} of {}", row.id, row.group);
    let _ = nobody.expect(401);
    if row.group == "wallets" {
        for header in ["x-client-id", "x-client-secret"] {
            let anonymous = world.client(row.group, "acme", &[needed]).await.without(header);
            let answer = (row.call)(world).send(&anonymous, method).await;
            assert_eq!(answer.status, 401, "{place} without {header}: {}", answer.text);
        }
    }
    let others: Vec<Permission> = Permission::ALL.iter().copied().filter(|one| *one != needed).collect();
    let without = world.client(row.group, "acme", &others).await;
    let without = (row.call)(world).send(&without, method).await;
    assert_eq!(without.status, 403, "{place} with all permissions but its own: {}", without.text);
    assert!(without.text.contains(needed.name()), "{place}: {}", without.text);
    conforms(&document, row.id, &without);

    let stranger = stranger(world, row, method, &document).await;

    let with = world.client(row.group, "acme", &[needed]).await;
    let with = (row.call)(world).send(&with, method).await;
    assert_eq!(with.status.as_u16(), row.status, "{place} with its permission alone: {}", with.text);
    conforms(&document, row.id, &with);
    let cells = ["401".to_owned(), "403".to_owned(), stranger, with.status.as_u16().to_string()];
    Outcome { group: row.group, id: row.id, permission: needed.name().to_owned(), cells }
}

/// Another tenant with all permissions that sends the same.
async fn stranger(world: &World, row: &Row, method: &str, document: &Value) -> String {
    let client = world.client(row.group, "globex", Permission::ALL).await.header("x-request-id", "the-same");
    let place = format!("{} of {} as another tenant", row.id, row.group);
    match row.stranger {
        Stranger::HasItsOwn => {
            let answer = (row.call)(world).send(&client, method).await;
            conforms(document, row.id, &answer);
            let told = marks(world).into_iter().find(|mark| answer.text.contains(mark.as_str()));
            assert_eq!(told, None, "{place}: {}", answer.text);
            "its own".into()
        }
        Stranger::Misses(named, nowhere) => {
            let named = named(world);
            let hidden = (row.call)(world).send(&client, method).await;
            let missing = (row.call)(world).about(&named, nowhere).send(&client, method).await;
            assert_eq!(hidden.status, 404, "{place}: {}", hidden.text);
            conforms(document, row.id, &hidden);
            assert_eq!(missing.status, 404, "{place}, for what is nowhere: {}", missing.text);
            // What was asked for may be repeated; nothing else may differ.
            assert_eq!(hidden.text.replace(&named, nowhere), missing.text, "{place}");
            assert_eq!(hidden.headers.len(), missing.headers.len(), "{place}");
            "404".into()
        }
    }
}
