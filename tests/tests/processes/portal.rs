//! The portal in a browser without scripts, against real agents.

use std::net::SocketAddr;

use anyhow::ensure;
use hyper::{Method, StatusCode};
use meridian_testkit::process::Agent;
use meridian_testkit::wait::until_ok;
use meridian_tests::page::{Browser, Page};

use crate::support::{Three, location};

const SERVICE: &str = "/services/contoso";
const SAVE: &str = "/services/contoso/save";

fn address(agent: &Agent) -> SocketAddr {
    SocketAddr::new(agent.address(), 7480)
}

/// Opens a page with edits, and saves them.
async fn save(browser: &mut Browser, path: &str, reason: &str) -> Page {
    let page = browser.open(path).await.expect("the page opens");
    let form = page.form(SAVE, "request").expect("there is something to save");
    browser.send(&form.with("reason", reason)).await.expect("the save responds")
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_are_added_and_removed_as_the_documentation_says() {
    let three = Three::start().await;
    let mut browser = Browser::new(address(&three.agents[1]));
    let services = browser.open("/").await.expect("the page opens");
    let page = browser.open(&services.link("contoso").expect("is listed")).await.expect("opens");
    // + Add region, choose, Add; and again.
    let add =
        page.form(SERVICE, "units").expect("a form").with("region", "eastus").with("units", "2");
    let page = browser.send(&add).await.expect("the page opens");
    page.shows(&[
        "East US Pending",
        "pending not saved",
        "1 unsaved change",
        "add East US with 2 units",
    ])
    .expect("the row is pending");
    let add = page.form(SERVICE, "units").expect("a form");
    let add = add.with("region", "Southeast Asia").with("units", "1");
    let page = browser.send(&add).await.expect("the page opens");
    page.shows(&["East US Pending", "Southeast Asia Pending", "2 unsaved changes"]).expect("both");
    assert_eq!(location(&three.agents[0], "eastus").await, None, "nothing is saved yet");

    let saving = page.form(SAVE, "request").expect("a form").with("reason", "black friday");
    let saving = saving.with("name_of_person", "ada");
    let saved = browser.send(&saving).await.expect("the save responds");
    saved.shows(&["Saved. The change is durable on a majority"]).expect("it is saved");
    until_ok("the page to show the ready units", async || {
        let page = browser.clone().open(SERVICE).await?;
        page.shows(&["ready 2 / 2", "If it fails"])
    })
    .await;
    let events = three.agents[2].run(&["events", "--service", "contoso"]).await.expect("lists");
    assert!(
        events.stdout.contains("black friday") && events.stdout.contains("\"ada\""),
        "{events:?}"
    );

    // The same form again is the same request.
    let again = browser.send(&saving).await.expect("the save responds");
    again.shows(&["Saved."]).expect("it was applied once");

    // ..., Delete, confirm, Save. The primary region cannot be deleted.
    let page = browser.open(SERVICE).await.expect("the page opens");
    page.shows(&["The primary region cannot be deleted"]).expect("it says why");
    let page = browser.open(&page.link("Delete").expect("a link")).await.expect("the page opens");
    page.shows(&["Removed by save", "remove East US"]).expect("the row is pending");
    let saved = save(&mut browser, &page.address, "").await;
    saved.shows(&["Saved."]).expect("it is saved");
    until_ok("the region to be gone", async || {
        ensure!(location(&three.agents[0], "eastus").await.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_based_on_an_older_state_is_refused_with_what_happened_meanwhile() {
    let three = Three::start().await;
    let (mut ada, mut bob) =
        (Browser::new(address(&three.agents[0])), Browser::new(address(&three.agents[1])));
    let edited = format!("{SERVICE}?edit=westeurope+units%3D2");
    let page = ada.open(&edited).await.expect("the page opens");
    let form = page.form(SAVE, "request").expect("a form");
    save(&mut bob, &format!("{SERVICE}?edit=westeurope+units%3D3"), "more load").await;

    let refused = ada.send(&form).await.expect("the save responds");
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused
        .shows(&[
            "Not saved: contoso was changed meanwhile",
            "scaled contoso in westeurope to 3 units",
            "“more load”",
        ])
        .expect("it says who did what");
    let on_top = refused.link("Apply your edits on top").expect("a link");
    save(&mut ada, &on_top, "").await.shows(&["Saved."]).expect("it is saved on top");
    let row = location(&three.agents[0], "westeurope").await.expect("is listed");
    assert_eq!(row["units"], 2);

    let rejected = save(&mut ada, &format!("{SERVICE}?edit=westeurope+units%3D99"), "").await;
    assert_eq!(rejected.status, StatusCode::CONFLICT);
    rejected.shows(&["Not saved. Nothing was changed:"]).expect("it says why");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_change_nothing_and_names_are_only_text() {
    let three = Three::start().await;
    let here = address(&three.agents[0]);
    let mut browser = Browser::new(here);
    let edited = format!("{SERVICE}?edit=westeurope+units%3D2");
    let page = browser.open(&edited).await.expect("the page opens");
    let policy = page.headers.get("content-security-policy").expect("is set");
    assert!(policy.to_str().expect("is text").contains("default-src 'self'"), "{policy:?}");
    let form = page.form(SAVE, "request").expect("a form");
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
    let (host, own, foreign) =
        (here.to_string(), format!("http://{here}"), "http://attacker.example");
    for (cause, status, host, origin, browser) in [
        ("another origin", StatusCode::FORBIDDEN, &host[..], foreign, browser.clone()),
        ("no cookie", StatusCode::FORBIDDEN, &host, &own, Browser::new(here)),
        (
            "another host",
            StatusCode::MISDIRECTED_REQUEST,
            "attacker.example",
            foreign,
            browser.clone(),
        ),
    ] {
        let mut browser = browser;
        let refused = browser.request(Method::POST, SAVE, host, origin, body.clone()).await;
        assert_eq!(refused.expect("responds").status, status, "{cause}");
    }
    let row = location(&three.agents[0], "westeurope").await.expect("is listed");
    assert_eq!(row["units"], 1);

    let hostile = "<script>alert(1)</script>\u{202e}\"'&";
    let form = form.with("reason", hostile).with("name_of_person", hostile);
    browser.send(&form).await.expect("responds").shows(&["Saved."]).expect("it is saved");
    let page = save(&mut browser, &format!("{SERVICE}?base=1&edit=westeurope+units%3D1"), "").await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(
        page.text().contains("<script>alert(1)</script>") && !page.html.contains("<script>a"),
        "{}",
        page.html
    );
    for path in [
        "/services/%3Cscript%3E",
        "/services/contoso?edit=%3Cscript%3E",
        "/services/none",
        "/nothing",
    ] {
        let page = browser.open(path).await.expect("responds");
        assert!(
            page.status.is_client_error() && !page.html.contains("<script>"),
            "{path}: {page:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_the_page_shows_what_it_knows_and_saves_nothing() {
    let three = Three::start().await;
    let (last, others) = three.agents.split_first().expect("three agents");
    let mut browser = Browser::new(address(last));
    let edited = format!("{SERVICE}?edit=westeurope+units%3D2");
    let page = browser.open(&edited).await.expect("the page opens");
    let form = page.form(SAVE, "request").expect("a form");
    others.iter().for_each(|agent| agent.kill().expect("is killed"));
    until_ok("the page to say so", async || {
        let page = browser.clone().open(SERVICE).await?;
        page.shows(&["No majority of the agents is reachable. Changes are refused.", "1 / 1"])
    })
    .await;
    let refused = browser.send(&form).await.expect("responds");
    assert!(refused.status.is_server_error(), "{refused:?}");
    others.iter().for_each(|agent| drop(agent.start().expect("starts")));
    until_ok("the cluster to accept changes", async || {
        let page = browser.clone().send(&form).await?;
        page.shows(&["Saved."])
    })
    .await;
}
