//! Lists: while rows come and go between the pages, nothing that stays is skipped and nothing comes twice, and a token
//! continues the list that it was made for, for whom it was made.

use std::collections::BTreeSet;

use bytes::Bytes;
use hivesync_proto::v1::ErrorReason;
use hivesync_tests::{
    backend::Backend,
    caller::Caller,
    wire::refused,
    world::{World, in_time},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::Status;

use crate::{descriptors, shelf::Shelf};

/// Items that are there before the first page.
const BEFOREHAND: usize = 6;
/// Items of a page.
const PAGE: u32 = 2;
/// Pages that no list here needs.
const PAGES_MAX: usize = 40;
/// Items of a page if nobody says how many, and at most: of a tree, entries are small.
const SIZES: (usize, usize) = (50, 200);
const SIZES_OF_TREES: (usize, usize) = (200, 1_000);
/// What tells the items of a list apart.
const IDENTITIES: [&str; 5] = ["id", "sequence", "user_id", "worker_id", "path"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_hold_still_embedded() {
    in_time(Box::pin(lists_hold_still(Backend::Embedded))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_hold_still_production() {
    if Backend::Production.available() {
        in_time(Box::pin(lists_hold_still(Backend::Production))).await;
    }
}

/// Every RPC that answers with pages. Those that read a mirror come first, while there is a worker.
fn lists() -> Vec<String> {
    let levels = descriptors::levels().into_iter();
    let mut lists: Vec<String> = levels
        .map(|(route, _)| route)
        .filter(|route| descriptors::method(route).input().get_field_by_name("page_token").is_some())
        .collect();
    lists.sort_by_key(|route| !reads_mirror(route));
    lists
}

fn reads_mirror(route: &str) -> bool {
    route.ends_with("/ListTree") || route.ends_with("/ListCommits")
}

async fn lists_hold_still(backend: Backend) {
    let mut shelf = Shelf::set_up(World::new(backend).await).await;
    let mut foreign: Option<String> = None;
    let lists = lists();
    assert!(lists.len() >= 12, "only {} lists were found", lists.len());
    for route in &lists {
        if !reads_mirror(route) {
            shelf.world.stop_worker().await;
            for _ in 0..BEFOREHAND {
                shelf.add(route).await;
            }
        }
        walk(&mut shelf, route).await;
        let token = first_token(&shelf, route).await;
        refuses_what_is_not_its_own(&shelf, route, &token, foreign.as_deref()).await;
        has_bounds(&shelf, route).await;
        foreign = Some(token);
    }
}

/// One page.
struct Page {
    items: Vec<String>,
    next: String,
}

async fn ask(
    by: &Caller,
    route: &str,
    request: &DynamicMessage,
    size: u32,
    token: &str,
) -> Result<Page, Status> {
    let mut request = request.clone();
    request.set_field_by_name("page_size", Value::U32(size));
    request.set_field_by_name("page_token", Value::String(token.to_owned()));
    let answer = by.call_bytes(route, Bytes::from(request.encode_to_vec())).await?;
    let answer = descriptors::answer(route, &answer);
    let next = answer.get_field_by_name("next_page_token").expect("it has pages");
    let list = answer.descriptor().fields().find(|field| field.is_list()).expect("it lists something");
    let items = answer.get_field(&list);
    let items = items.as_list().expect("a list").iter().map(identity).collect();
    Ok(Page { items, next: next.as_str().expect("text").to_owned() })
}

fn identity(item: &Value) -> String {
    let item = item.as_message().expect("items are messages");
    let field = IDENTITIES.iter().find_map(|name| item.get_field_by_name(name));
    match field.expect("items can be told apart").into_owned() {
        Value::String(text) => text,
        Value::U64(number) => number.to_string(),
        other => panic!("{other:?} identifies nothing"),
    }
}

async fn all(shelf: &Shelf, route: &str) -> BTreeSet<String> {
    let page = ask(shelf.readers(route).0, route, &shelf.request(route), 200, "").await;
    let page = page.unwrap_or_else(|status| panic!("{route}: {status:?}"));
    assert_eq!(page.next, "", "{route}: the whole list fits one page here");
    page.items.into_iter().collect()
}

/// Turns the pages while something comes and something goes between them.
async fn walk(shelf: &mut Shelf, route: &str) {
    let before = all(shelf, route).await;
    assert!(before.len() >= BEFOREHAND, "{route}: {before:?}");
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = ask(shelf.readers(route).0, route, &shelf.request(route), PAGE, &token).await;
        let page = page.unwrap_or_else(|status| panic!("{route}: {status:?}"));
        assert!(page.items.len() <= PAGE as usize, "{route}: a page of {}", page.items.len());
        seen.extend(page.items);
        pages += 1;
        assert!(pages < PAGES_MAX, "{route} does not end");
        if page.next.is_empty() {
            break;
        }
        token = page.next;
        // What a mirror holds takes a sync to change: once is enough.
        if !reads_mirror(route) || pages == 1 {
            shelf.add(route).await;
            shelf.remove(route).await;
        }
    }
    assert!(pages >= 3, "{route}: {pages} pages");
    let once: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "{route}: something came twice: {seen:?}");
    let after = all(shelf, route).await;
    let skipped: Vec<_> = before.intersection(&after).filter(|item| !once.contains(*item)).collect();
    assert!(skipped.is_empty(), "{route} skipped {skipped:?}");
}

async fn first_token(shelf: &Shelf, route: &str) -> String {
    let page = ask(shelf.readers(route).0, route, &shelf.request(route), 1, "").await.expect("a page");
    assert!(!page.next.is_empty(), "{route} has more than one item");
    page.next
}

/// A token is good for one list of one caller.
async fn refuses_what_is_not_its_own(shelf: &Shelf, route: &str, token: &str, foreign: Option<&str>) {
    let (reader, other) = shelf.readers(route);
    let request = shelf.request(route);
    let mut changed = token.to_owned().into_bytes();
    changed[0] = if changed[0] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("ASCII");
    let mut refusals = vec![
        ("changed", ask(reader, route, &request, 1, &changed).await),
        ("cut off", ask(reader, route, &request, 1, &token[..token.len() / 2]).await),
        ("nonsense", ask(reader, route, &request, 1, "nonsense").await),
        ("of another caller", ask(other, route, &request, 1, token).await),
    ];
    if let Some(foreign) = foreign {
        refusals.push(("of another list", ask(reader, route, &request, 1, foreign).await));
    }
    if let Some(elsewhere) = shelf.other_request(route) {
        refusals.push(("of another filter", ask(reader, route, &elsewhere, 1, token).await));
    }
    for (what, outcome) in refusals {
        let refusal = refused(outcome.map(|page| page.items));
        assert_eq!(refusal.reason, ErrorReason::InvalidPageToken, "{route}, a token {what}");
    }
}

/// Nobody asks for everything at once.
async fn has_bounds(shelf: &Shelf, route: &str) {
    let (default, most) = if route.ends_with("/ListTree") { SIZES_OF_TREES } else { SIZES };
    let (reader, _) = shelf.readers(route);
    let request = shelf.request(route);
    let page = ask(reader, route, &request, 0, "").await.expect("a size of 0 is the default");
    assert!(page.items.len() <= default, "{route}: {} items", page.items.len());
    let most = u32::try_from(most).expect("it fits");
    assert!(ask(reader, route, &request, most, "").await.is_ok(), "{route}");
    for size in [most + 1, u32::MAX] {
        let refusal = refused(ask(reader, route, &request, size, "").await.map(|page| page.items));
        assert_eq!(refusal.reason, ErrorReason::InvalidRequest, "{route} with {size}");
    }
}
