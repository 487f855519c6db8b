//! Stacks that one case after the other runs on: to start one, and to make it ready by requests, takes longer than most
//! cases.
//!
//! After a case everything that is not the stack's own is removed, at the platform as well. How things stood when an
//! operation was first made ready is kept and put back for the next case of the same operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use aws_sdk_secretsmanager::types::Tag;
use fakes::platforms::vercel::VercelState;
use kit::TestApp;
use serde_json::Value;
use shared::function::Function;

use crate::secrets::labels;
use crate::stacks::{Own, Row, place, rows, write};

const CURRENT: &str = "AWSCURRENT";

/// A stack, and what it begins with.
pub(super) struct Stack {
    pub(super) app: TestApp,
    pub(super) functions: BTreeMap<&'static str, Function>,
    own: Own,
    vercel: VercelState,
    prepared: BTreeMap<String, Prepared>,
}

/// How things stand when an operation is about to run.
struct Prepared {
    rows: Vec<Row>,
    secrets: Vec<Secret>,
    vercel: VercelState,
    id: String,
    given: Value,
}

struct Secret {
    name: String,
    tags: Vec<Tag>,
    /// Each version's id, text and labels; the current one first.
    versions: Vec<(String, String, BTreeSet<String>)>,
}

impl Stack {
    /// A stack as it begins, with what is in its table and at Vercel.
    pub(super) async fn of(app: TestApp) -> Self {
        let functions = vaults::functions(&app.platform).into_iter().collect();
        let (vercel, own) = (app.fakes.vercel.state(), Own::of(&app).await);
        Self { app, functions, own, vercel, prepared: BTreeMap::new() }
    }

    /// Leaves the stack as it began.
    pub(super) async fn clear(&self) {
        self.own.alone(&self.app).await;
        self.app.fakes.vercel.restore(&self.vercel);
    }

    /// Keeps how things stand under this name, with what the case knows of them.
    pub(super) async fn keep(&mut self, name: String, id: String, given: Value) {
        let rows = rows(&self.app).await.into_iter().filter(|row| place(row).0.starts_with("T#acme#vaults")).collect();
        let mut secrets = Vec::new();
        for name in self.app.secret_names().await {
            secrets.push(self.secret(name).await);
        }
        let vercel = self.app.fakes.vercel.state();
        let _ = self.prepared.insert(name, Prepared { rows, secrets, vercel, id, given });
    }

    async fn secret(&self, name: String) -> Secret {
        let described = self.app.secrets.describe_secret().secret_id(&name).send().await.unwrap();
        let mut versions = Vec::new();
        for (version, labels) in labels(&self.app, &name).await {
            let read = self.app.secrets.get_secret_value().secret_id(&name).version_id(&version).send().await.unwrap();
            versions.push((version, read.secret_string.unwrap(), labels));
        }
        versions.sort_by_key(|(_, _, labels)| !labels.contains(CURRENT));
        Secret { name, tags: described.tags.unwrap_or_default(), versions }
    }

    /// Puts things as they were kept under this name; with what the case knew of them. `None` if nothing was.
    pub(super) async fn restore(&self, name: &str) -> Option<(String, Value)> {
        let Prepared { rows, secrets, vercel, id, given } = self.prepared.get(name)?;
        let put = rows.iter().map(|row| {
            let put = PutRequest::builder().set_item(Some(row.clone())).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        write(&self.app, put.collect()).await;
        for secret in secrets {
            self.create(secret).await;
        }
        self.app.fakes.vercel.restore(vercel);
        Some((id.clone(), given.clone()))
    }

    async fn create(&self, Secret { name, tags, versions }: &Secret) {
        let client = &self.app.secrets;
        for (number, (version, text, labels)) in versions.iter().enumerate() {
            if number == 0 {
                assert!(labels.contains(CURRENT), "{name}: {labels:?}");
                let create = client.create_secret().name(name).client_request_token(version).secret_string(text);
                let _ = create.set_tags(Some(tags.clone())).send().await.unwrap();
                for label in labels.iter().filter(|label| *label != CURRENT) {
                    let labelled = client.update_secret_version_stage().secret_id(name).version_stage(label);
                    let _ = labelled.move_to_version_id(version).send().await.unwrap();
                }
            } else {
                let put = client.put_secret_value().secret_id(name).client_request_token(version).secret_string(text);
                let _ = put.set_version_stages(Some(labels.iter().cloned().collect())).send().await.unwrap();
            }
        }
    }
}

/// The stacks that no case runs on just now.
#[derive(Default)]
pub(super) struct Stacks(Mutex<Vec<Stack>>);

impl Stacks {
    /// One of them, if there is one.
    pub(super) fn take(&self) -> Option<Stack> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Takes one back that was cleared.
    pub(super) fn give(&self, stack: Stack) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stack);
    }
}
