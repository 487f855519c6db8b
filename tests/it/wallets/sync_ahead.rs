//! `wallets-sync` fetches a page while it stores the one before, and nothing is lost or counted twice over it.

use fakes::Fault as ProviderFault;
use futures::join;
use kit::TestApp;
use kit::fault_proxy::Fault;

use super::fixtures::{ADDRESS, connect_address, exact_total, queued, read, tick};

/// What stores a page. The first is the one without records that says how many there are.
const WRITE: &str = "TransactWriteItems";
/// The requests for every page but the first.
const LATER_PAGE: &str = "/txs/chain/";

/// Two full pages of the provider and a short one.
const RECORDS: usize = 55;

/// A history of three pages, and the event that begins its sync.
async fn three_pages() -> (TestApp, String, serde_json::Value) {
    let app = TestApp::start().await;
    app.fakes.esplora.receive_many(ADDRESS, RECORDS);
    let id = connect_address(&app.wallets(), ADDRESS).await;
    let event = queued(&app);
    (app, id, event)
}

#[tokio::test]
async fn the_second_page_is_asked_for_while_the_first_is_being_stored() {
    let (app, id, event) = three_pages().await;
    let (esplora, write) = (&app.fakes.esplora.host, app.proxy.inject(Fault::Hold).on(WRITE).nth(2).always());
    esplora.faults().next_on(LATER_PAGE, 1, ProviderFault::Hang);
    let sync = app.invoke("wallets-sync", &event);
    let meanwhile = async {
        join!(write.struck(), esplora.faults().hanging(1));
        assert_eq!(exact_total(&app, &id).await, 0, "neither is there yet");
        esplora.faults().release();
        esplora.faults().none_hanging().await;
        write.release();
    };
    let (answer, ()) = join!(sync, meanwhile);
    assert_eq!(answer.expect(200)["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, RECORDS as u64);
    assert_eq!(esplora.calls("/txs/chain"), 3, "each page once");
}

#[tokio::test]
async fn what_was_fetched_ahead_of_a_page_that_could_not_be_stored_is_fetched_again() {
    let (app, id, event) = three_pages().await;
    let esplora = &app.fakes.esplora.host;
    let write = app.proxy.inject(Fault::Stall).on(WRITE).nth(2);
    let repetitions = app.proxy.inject(Fault::ServerError).on(WRITE).nth(3).always();
    esplora.faults().next_on(LATER_PAGE, 1, ProviderFault::Hang);
    let sync = app.invoke("wallets-sync", &event);
    let meanwhile = async {
        join!(write.struck(), esplora.faults().hanging(1));
        esplora.faults().release();
        esplora.faults().none_hanging().await;
        write.release();
    };
    let (answer, ()) = join!(sync, meanwhile);
    assert!(answer.header("x-amz-function-error").is_some(), "{}", answer.text);
    assert!(repetitions.strikes() > 0);
    assert_eq!(exact_total(&app, &id).await, 0, "the second page is not stored without the first");
    assert_eq!(esplora.calls("/txs/chain"), 2, "and the third is not asked for");
    app.proxy.clear();
    app.advance(30);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, RECORDS as u64);
    assert_eq!(esplora.calls("/txs/chain"), 5);
}

#[tokio::test]
async fn a_worker_that_was_taken_over_while_it_stored_drops_what_it_fetched_ahead() {
    let (app, id, event) = three_pages().await;
    let (esplora, write) = (&app.fakes.esplora.host, app.proxy.inject(Fault::Hold).on(WRITE).nth(2));
    esplora.faults().next_on(LATER_PAGE, 1, ProviderFault::Hang);
    let slow = app.invoke("wallets-sync", &event);
    let overtake = async {
        join!(write.struck(), esplora.faults().hanging(1));
        app.advance(30);
        assert_eq!(tick(&app).await["completed"], 1);
        let after = read(&app.wallets(), &id).await;
        write.release();
        esplora.faults().release();
        after
    };
    let (slow, after) = join!(slow, overtake);
    assert_eq!(slow.expect(200)["completed"], 0);
    assert_eq!(read(&app.wallets(), &id).await, after);
    assert_eq!(exact_total(&app, &id).await, RECORDS as u64);
}

#[tokio::test]
async fn trouble_with_a_page_is_dealt_with_when_the_one_before_is_stored() {
    let (app, id, event) = three_pages().await;
    let (esplora, write) = (&app.fakes.esplora.host, app.proxy.inject(Fault::Hold).on(WRITE).nth(2).always());
    esplora.faults().next_on(LATER_PAGE, 1, ProviderFault::Answer(fakes::Answer::status(502)));
    let sync = app.invoke("wallets-sync", &event);
    let meanwhile = async {
        write.struck().await;
        while esplora.calls(LATER_PAGE) == 0 {
            tokio::task::yield_now().await;
        }
        write.release();
    };
    let (answer, ()) = join!(sync, meanwhile);
    assert_eq!(answer.expect(200)["unfinished"], 1);
    assert_eq!(exact_total(&app, &id).await, 25);
    assert_eq!(read(&app.wallets(), &id).await["progress"]["message"], "Bitcoin has trouble of its own (HTTP 502).");
    app.advance(30);
    assert_eq!(tick(&app).await["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, RECORDS as u64);
    assert_eq!(esplora.calls("/txs/chain"), 4, "only the page with the trouble twice");
}

#[tokio::test]
async fn a_lease_that_runs_low_while_a_page_is_being_stored_is_held() {
    let (app, id, event) = three_pages().await;
    let esplora = &app.fakes.esplora.host;
    esplora.faults().next_on(LATER_PAGE, 2, ProviderFault::Hang);
    let sync = app.invoke("wallets-sync", &event);
    let meanwhile = async {
        for _ in 0..2 {
            esplora.faults().hanging(1).await;
            let write = app.proxy.inject(Fault::Hold).on(WRITE);
            // Less is left than a question may take, so the next one waits for the lease.
            app.advance(15);
            esplora.faults().release();
            esplora.faults().none_hanging().await;
            write.struck().await;
            write.release();
        }
    };
    let (answer, ()) = join!(sync, meanwhile);
    assert_eq!(answer.expect(200)["completed"], 1);
    assert_eq!(exact_total(&app, &id).await, RECORDS as u64);
}
