//! Stacks that one case after the other runs on: to start one takes longer than most cases.
//!
//! After a case everything that is not the stack's own is removed from the table and from Secrets Manager.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use kit::TestApp;

/// So many items DynamoDB takes at once.
const AT_ONCE: usize = 25;

/// An item of the table.
pub(crate) type Row = HashMap<String, AttributeValue>;

/// Where an item is.
pub(crate) fn place(row: &Row) -> (String, String) {
    (row["pk"].as_s().unwrap().clone(), row["sk"].as_s().unwrap().clone())
}

/// Every item.
pub(crate) async fn rows(app: &TestApp) -> Vec<Row> {
    app.table.scan().table_name("causeway").send().await.unwrap().items().to_vec()
}

/// Puts and deletes items, past the proxy.
pub(crate) async fn write(app: &TestApp, requests: Vec<WriteRequest>) {
    for some in requests.chunks(AT_ONCE) {
        let written = app.table.batch_write_item().request_items("causeway", some.to_vec()).send().await;
        assert!(written.unwrap().unprocessed_items().is_none_or(HashMap::is_empty));
    }
}

/// The items that a stack begins with: its tokens, above all.
pub(crate) struct Own(BTreeSet<(String, String)>);

impl Own {
    /// Those of a stack as it is now.
    pub(crate) async fn of(app: &TestApp) -> Self {
        Self(rows(app).await.iter().map(place).collect())
    }

    /// Leaves the stack with nothing but these, and without a customer's secret.
    pub(crate) async fn alone(&self, app: &TestApp) {
        let rows = rows(app).await;
        let others = rows.iter().map(place).filter(|place| !self.0.contains(place));
        let delete = others.map(|(partition, sort)| {
            let keys = [("pk", partition), ("sk", sort)].map(|(name, text)| (name.to_owned(), AttributeValue::S(text)));
            let delete = DeleteRequest::builder().set_key(Some(keys.into())).build().unwrap();
            WriteRequest::builder().delete_request(delete).build()
        });
        write(app, delete.collect()).await;
        // Those that are deleted already as well: their names come back when a case is made ready.
        let all = app.secrets.list_secrets().include_planned_deletion(true).max_results(100).send().await.unwrap();
        let names = all.secret_list().iter().filter_map(|secret| secret.name());
        for name in names.filter(|name| name.starts_with("causeway/acme/")) {
            let delete = app.secrets.delete_secret().secret_id(name).force_delete_without_recovery(true);
            let _ = delete.send().await.unwrap();
        }
    }
}
