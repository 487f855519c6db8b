//! Tokens minted and replaced by the operator, with a fault at each call to the table. What failed is done again; then what
//! was shown works, what was replaced does not, and each token is listed as it counts, those that nobody ever saw included.

use kit::TestApp;
use kit::fault_proxy::Fault;
use shared::auth::{Grant, Minted, Permission, Tenant, TokenRecord};
use shared::table::{TableError, keys};

use crate::fault_table::{Course, FAULTS, assert_all_held, faults};

/// What the operator does.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Mint,
    Rotate,
}

impl Operation {
    async fn run(self, app: &TestApp, tenant: &Tenant, old: &TokenRecord) -> Result<Minted, TableError> {
        match self {
            Self::Mint => app.platform.tokens.mint(grant(tenant)).await,
            Self::Rotate => {
                let old = app.platform.tokens.read(tenant, &old.id).await?;
                app.platform.tokens.rotate(&old, None, None).await.map(|(minted, _)| minted)
            }
        }
    }

    /// Does it with a fault, and again without one if it failed or is `twice` asked for; whether all is as it should be.
    async fn holds(self, app: &TestApp, tenant: &str, fault: Option<(usize, Fault, bool)>, twice: bool) -> bool {
        let tenant = Tenant::parse(tenant).unwrap();
        let old = app.platform.tokens.mint(grant(&tenant)).await.unwrap();
        app.proxy.forget_calls();
        if let Some((step, fault, on)) = fault {
            let aimed = app.proxy.inject(fault).at_step(step);
            let _ = if on { aimed.always() } else { aimed };
        }
        let mut done = self.run(app, &tenant, &old.record).await;
        app.proxy.clear();
        if twice || done.is_err() {
            done = self.run(app, &tenant, &old.record).await;
        }
        let Ok(minted) = done else { return false };
        works(app, &minted).await
            && works(app, &old).await == matches!(self, Self::Mint)
            && are_listed_as_they_count(app, &tenant, &minted).await
    }

    async fn course(self, app: &TestApp) -> Course {
        let name = format!("{self:?}").to_lowercase();
        assert!(self.holds(app, &format!("{name}-alone"), None, false).await);
        let old = app.platform.tokens.mint(grant(&Tenant::parse("steps").unwrap())).await.unwrap();
        app.proxy.forget_calls();
        let _ = self.run(app, &old.record.tenant, &old.record).await.unwrap();
        let mut steps = Vec::new();
        for (at, call) in app.proxy.operations().into_iter().enumerate() {
            let mut held = Vec::new();
            for (number, (_, fault, on)) in faults(&call).enumerate() {
                let tenant = format!("{name}-{at}-{number}");
                held.push(self.holds(app, &tenant, Some((at + 1, fault, on)), false).await);
            }
            steps.push((call, held));
        }
        let twice = self.holds(app, &format!("{name}-twice"), None, true).await;
        Course { operation: format!("token {name}"), steps, twice }
    }
}

fn grant(tenant: &Tenant) -> Grant {
    Grant {
        tenant: tenant.clone(),
        user: "operator".into(),
        name: "of a test".into(),
        permissions: vec![Permission::ServicesRead],
        expires_at: None,
        client: None,
    }
}

async fn works(app: &TestApp, minted: &Minted) -> bool {
    app.services_as(minted.token.reveal()).get("/api/integrations").await.status == 200
}

/// Whether the tenant's list says of each token what the item says that its bearer is judged by, and has this one.
async fn are_listed_as_they_count(app: &TestApp, tenant: &Tenant, minted: &Minted) -> bool {
    let listed = app.platform.tokens.list(tenant).await.unwrap();
    for record in &listed {
        let counts = app.platform.table.get::<TokenRecord>(&keys::token(&record.hash)).await.unwrap().record;
        if counts != *record {
            return false;
        }
    }
    let tenants = app.platform.tokens.tenants().await.unwrap();
    listed.iter().any(|record| record.id == minted.record.id) && tenants.contains(tenant)
}

#[tokio::test]
async fn minting_or_replacing_a_token_that_fails_anywhere_ends_as_it_should() {
    let app = TestApp::start().await;
    let courses = [Operation::Mint.course(&app).await, Operation::Rotate.course(&app).await];
    assert_all_held("tokens", &FAULTS.map(|(name, ..)| name), &courses);
}
