//! What happens when AWS fails in the middle of a change.

use kit::TestApp;
use kit::fault_proxy::Fault;
use serde_json::json;

use fakes::platforms::vercel::VercelRecord;

use super::fixtures::{CONNECTIONS, SECRETS, SYNC, asks, at_vercel, plan, preview, put, ready, sync, values};

/// Every step of a change fails in turn: the change is there whole or not at all, and the sweep leaves only what is named.
#[tokio::test]
async fn an_edit_happens_whole_or_not_at_all() {
    for fault in [Fault::ServerError, Fault::LoseAnswer] {
        for step in 1..40 {
            let app = TestApp::start().await;
            put(&app.vaults(), json!({ "A": "1", "B": "1" })).await;
            // Nothing is remembered of the token or the values, so the steps are always the same.
            app.advance(61);
            let injected = app.proxy.inject(fault.clone()).at_step(step).times(4);
            let answer = app.vaults().patch(SECRETS, &json!({ "A": "2", "B": "2" })).await;
            let struck = injected.strikes() > 0;
            app.proxy.clear();
            let there = values(&app.vaults()).await;
            let (old, new) = (json!({ "A": "1", "B": "1" }), json!({ "A": "2", "B": "2" }));
            assert!(there == new || there == old, "step {step}: {there}");
            if answer.status.is_success() {
                assert_eq!(there, new, "step {step}");
            }
            app.advance(61);
            let _ = app.invoke("sweep", &app.scheduled_event_in(7_200)).await.expect(200);
            assert_eq!(values(&app.vaults()).await, there, "step {step}: the sweep took something away");
            put(&app.vaults(), json!({ "C": "3" })).await;
            assert_eq!(values(&app.vaults()).await, json!({ "C": "3" }), "step {step}");
            if !struck {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_is_made_whole_or_not_at_all() {
    for step in 1..40 {
        let app = TestApp::start().await;
        let injected = app.proxy.inject(Fault::ServerError).at_step(step).times(4);
        let body = json!({ "token": app.demo.vercel_token });
        let answer = app.vaults().post("/v1/integrations/vercel/connect", &body).await;
        let struck = injected.strikes() > 0;
        app.proxy.clear();
        let listed = app.vaults().get(CONNECTIONS).await.expect(200)["data"]["connections"].clone();
        let count = listed.as_array().unwrap().len();
        assert_eq!(count, usize::from(answer.status.is_success()), "step {step}: {}", answer.text);
        let _ = app.invoke("sweep", &app.scheduled_event_in(7_200)).await.expect(200);
        assert_eq!(app.secret_names().await.len(), count, "step {step}");
        if !struck {
            return;
        }
    }
    panic!("it has no end");
}

/// Whatever step a sync stops at, the next one ends it, also where the platform does not give values back.
#[tokio::test]
async fn a_sync_that_stops_anywhere_is_ended_by_the_next() {
    for step in 1..60 {
        let (app, id) = ready(json!({ "A": "1", "B": "1" })).await;
        app.fakes.vercel.add_record("prj_1", VercelRecord::sensitive("A", "x", &["production"]));
        let _ = sync(&app, &id, json!({})).await;
        put(&app.vaults(), json!({ "A": "2", "C": "2" })).await;
        app.advance(61);
        let injected = app.proxy.inject(Fault::ServerError).at_step(step).times(4);
        let body = asks(&id, json!({ "allowDelete": true, "deleteScope": "managed" }));
        let _ = app.vaults().post(SYNC, &body).await;
        let struck = injected.strikes() > 0;
        app.proxy.clear();
        // A lease that was not given back ends by itself.
        app.advance(121);
        let ended = sync(&app, &id, json!({ "allowDelete": true, "deleteScope": "managed" })).await;
        assert_eq!(ended["status"], "success", "step {step}: {ended}");
        assert_eq!(at_vercel(&app), json!({ "A": "2", "C": "2" }), "step {step}");
        let nothing = plan(&[], &[], &[], &["A", "C"]);
        assert_eq!(preview(&app, &id, "&allowDelete=true&deleteScope=managed").await, nothing, "step {step}");
        if !struck {
            return;
        }
    }
    panic!("it has no end");
}
