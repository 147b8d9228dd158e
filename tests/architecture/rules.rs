//! The rules of the house, each beside an example of what it forbids.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, read_crate, rust_files};

/// The slices of the domain: each may import those before it.
const SLICES: [&str; 10] =
    ["access", "audit", "jobs", "users", "auth", "teams", "projects", "previews", "notifications", "admin"];

/// The floors of a slice: each may import those before it.
const FLOORS: [&str; 4] = ["model", "store", "ops", "rpc"];

/// Crates that do something, which a model does not.
const IMPURE: [&str; 12] = [
    "axum",
    "fred",
    "futures",
    "hyper",
    "object_store",
    "reqwest",
    "sea_orm",
    "sqlx",
    "tokio",
    "tokio_stream",
    "tonic",
    "tower",
];

/// What an enum of a model may derive, so that it says itself by which number a column holds it.
const COLUMN_DERIVES: [&str; 2] = ["DeriveActiveEnum", "EnumIter"];

/// Makers of a status.
const STATUS_MAKERS: [&str; 20] = [
    "aborted",
    "already_exists",
    "cancelled",
    "data_loss",
    "deadline_exceeded",
    "failed_precondition",
    "from_error",
    "internal",
    "invalid_argument",
    "new",
    "not_found",
    "out_of_range",
    "permission_denied",
    "resource_exhausted",
    "unauthenticated",
    "unavailable",
    "unimplemented",
    "unknown",
    "with_details",
    "with_error_details",
];

/// Names that say nothing.
const EMPTY_WORDS: [&str; 7] = ["manager", "helper", "helpers", "util", "utils", "common", "misc"];

/// Longer files are two files.
const FILE_LINES_MAX: usize = 800;
/// Longer functions are two functions.
const FUNCTION_LINES_MAX: usize = 80;

fn rank(slice: &str) -> Option<usize> {
    SLICES.iter().position(|&name| name == slice)
}

/// The slice that a path in the crate lies in, if it lies in one.
fn slice_of(path: &[String]) -> Option<&str> {
    match path {
        [domain, slice, ..] if domain == "domain" => Some(slice),
        _ => None,
    }
}

/// The floor of its slice that a path lies on: `domain::teams::ops::invite` lies on `ops`.
fn floor_of(path: &[String]) -> Option<usize> {
    slice_of(path)?;
    FLOORS.iter().position(|floor| path.get(2).is_some_and(|name| name == floor))
}

fn begins(path: &[String], start: &[&str]) -> bool {
    path.len() >= start.len() && path.iter().zip(start).all(|(a, b)| a == b)
}

fn is_column_derive(path: &[String]) -> bool {
    path.len() == 2 && path[0] == "sea_orm" && COLUMN_DERIVES.contains(&path[1].as_str())
}

fn violation(module: &Module, path: &[String], rule: &str) -> String {
    format!("{} refers to {}: {rule}", module.file, path.join("::"))
}

/// A slice imports only slices ranked before it.
fn slice_rank(modules: &[Module]) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules {
        let Some(own) = slice_of(&module.path) else { continue };
        let Some(own_rank) = rank(own) else {
            found.push(format!("{}: there is no slice {own} in the order of slices", module.file));
            continue;
        };
        for path in &module.internal {
            let Some(other) = slice_of(path) else { continue };
            if other != own && rank(other).is_none_or(|rank| rank > own_rank) {
                found.push(violation(module, path, "a slice imports only slices ranked before it"));
            }
        }
    }
    found
}

/// The domain knows neither the edge above it nor who composes it.
fn domain_below_edge(modules: &[Module]) -> Vec<String> {
    references(
        modules,
        |module| begins(&module.path, &["domain"]),
        |path| ["edge", "app", "cli"].iter().any(|above| begins(path, &[above])),
    )
    .map(|(module, path)| violation(module, path, "the domain stands below the edge"))
    .collect()
}

/// The base knows no business.
fn base_at_the_bottom(modules: &[Module]) -> Vec<String> {
    references(
        modules,
        |module| begins(&module.path, &["base"]),
        |path| ["domain", "edge", "app", "cli"].iter().any(|above| begins(path, &[above])),
    )
    .map(|(module, path)| violation(module, path, "the base imports only itself"))
    .collect()
}

/// In a slice, `rpc` stands on `ops`, `ops` on `store`, `store` on `model`.
fn floors_in_order(modules: &[Module]) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules {
        let Some(own) = floor_of(&module.path) else { continue };
        for path in &module.internal {
            if slice_of(path) == slice_of(&module.path) && floor_of(path).is_some_and(|floor| floor > own) {
                found.push(violation(module, path, "the floors of a slice are model, store, ops, rpc"));
            }
        }
    }
    found
}

/// What comes over the wire reaches rows only by way of `ops`: neither `rpc` nor the workers' streams know `store`.
fn only_ops_reach_the_store(modules: &[Module]) -> Vec<String> {
    let is_above = |module: &Module| {
        floor_of(&module.path) == Some(3) || begins(&module.path, &["domain", "jobs", "dispatch"])
    };
    references(modules, is_above, |path| floor_of(path) == Some(1))
        .map(|(module, path)| violation(module, path, "what comes over the wire goes through ops"))
        .collect()
}

/// A model has neither async nor I/O.
fn models_are_pure(modules: &[Module]) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules.iter().filter(|module| floor_of(&module.path) == Some(0)) {
        if module.asynchronous {
            found.push(format!("{}: a model is not asynchronous", module.file));
        }
        for path in &module.external {
            let acts = (IMPURE.contains(&path[0].as_str()) && !is_column_derive(path))
                || ["fs", "process", "thread"].iter().any(|part| begins(path, &["std", part]));
            if acts {
                found.push(violation(module, path, "a model does no I/O"));
            }
        }
    }
    found
}

/// Where the wire is known in the domain: the floor `rpc` of each slice, and the services of workers, which stand
/// beside the machine that they drive.
fn knows_the_wire(path: &[String]) -> bool {
    floor_of(path) == Some(3) || begins(path, &["domain", "jobs", "dispatch", "rpc"])
}

/// In the domain, only `rpc` knows tonic and the messages of the contract.
fn only_rpc_knows_the_wire(modules: &[Module]) -> Vec<String> {
    let elsewhere = |module: &Module| slice_of(&module.path).is_some() && !knows_the_wire(&module.path);
    outward(modules, elsewhere, |path| path[0] == "tonic" || begins(path, &["hivesync_proto", "v1"]))
        .map(|(module, path)| {
            violation(module, path, "in the domain only rpc knows tonic and the contract's messages")
        })
        .collect()
}

/// In the domain, only `store` knows SQL.
fn only_store_knows_sql(modules: &[Module]) -> Vec<String> {
    let elsewhere = |module: &Module| slice_of(&module.path).is_some() && floor_of(&module.path) != Some(1);
    outward(modules, elsewhere, |path| {
        ["sea_orm", "sqlx"].contains(&path[0].as_str()) && !is_column_derive(path)
    })
    .map(|(module, path)| violation(module, path, "in the domain only store knows SQL"))
    .collect()
}

/// Only `base::status` makes a `tonic::Status`.
fn only_status_makes_a_status(modules: &[Module]) -> Vec<String> {
    outward(
        modules,
        |module| !begins(&module.path, &["base", "status"]),
        |path| path.windows(2).any(|pair| pair[0] == "Status" && STATUS_MAKERS.contains(&pair[1].as_str())),
    )
    .map(|(module, path)| violation(module, path, "only base::status makes a status"))
    .collect()
}

/// The modules that `lib.rs` declares, and what lies below them, do not know the client or the worker: only the
/// binary, which runs all of them, does.
fn only_the_binary_knows_its_neighbours(modules: &[Module]) -> Vec<String> {
    let library: BTreeSet<&String> = modules
        .iter()
        .filter(|module| module.path.is_empty() && !module.file.ends_with("main.rs"))
        .flat_map(|module| &module.declares)
        .collect();
    let in_library = |module: &Module| module.path.first().is_some_and(|first| library.contains(first));
    outward(modules, in_library, |path| {
        ["hivesync", "hivesync_sdk", "hivesync_workers"].contains(&path[0].as_str())
    })
    .map(|(module, path)| violation(module, path, "only the binary imports the client and the worker"))
    .collect()
}

/// No two slices, and no two parts of the base, import each other, however indirectly.
fn no_cycles(modules: &[Module]) -> Vec<String> {
    let node = |path: &[String]| match path {
        [floor, part, ..] if floor == "base" || floor == "domain" => Some(format!("{floor}::{part}")),
        _ => None,
    };
    let known: BTreeSet<String> = modules.iter().filter_map(|module| node(&module.path)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules {
        let Some(from) = node(&module.path) else { continue };
        for to in module.internal.iter().filter_map(|path| node(path)) {
            if to != from && known.contains(&to) {
                edges.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    known.iter().filter_map(|start| cycle_through(start, &edges)).collect()
}

/// The shortest way from a node back to itself, told once, from its alphabetically first node.
fn cycle_through(start: &String, edges: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut ways: Vec<Vec<&String>> = vec![vec![start]];
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            for next in edges.get(*way.last()?).into_iter().flatten() {
                if next == start {
                    let first = way.iter().min()? == &start;
                    let told = way.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" -> ");
                    return first.then(|| format!("cycle: {told} -> {start}"));
                }
                if seen.insert(next) {
                    longer.push([way.as_slice(), &[next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Names say what a file holds.
fn names_say_something(modules: &[Module]) -> Vec<String> {
    modules
        .iter()
        .filter(|module| {
            let words = module.file.split(['/', '_', '-', '.']);
            words.into_iter().any(|word| EMPTY_WORDS.contains(&word))
        })
        .map(|module| format!("{}: the name says nothing", module.file))
        .collect()
}

/// Files and functions can be read.
fn sizes_are_bounded(modules: &[Module]) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules {
        if module.lines > FILE_LINES_MAX {
            found.push(format!("{}: {} lines, at most {FILE_LINES_MAX}", module.file, module.lines));
        }
        for (name, lines) in module.functions.iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX) {
            found.push(format!("{}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX}", module.file));
        }
    }
    found
}

fn references<'a>(
    modules: &'a [Module],
    from: impl Fn(&Module) -> bool + 'a,
    to: impl Fn(&[String]) -> bool + 'a,
) -> impl Iterator<Item = (&'a Module, &'a Vec<String>)> {
    modules
        .iter()
        .filter(move |module| from(module))
        .flat_map(|module| module.internal.iter().map(move |path| (module, path)))
        .filter(move |(_, path)| to(path))
}

fn outward<'a>(
    modules: &'a [Module],
    from: impl Fn(&Module) -> bool + 'a,
    to: impl Fn(&[String]) -> bool + 'a,
) -> impl Iterator<Item = (&'a Module, &'a Vec<String>)> {
    modules
        .iter()
        .filter(move |module| from(module))
        .flat_map(|module| module.external.iter().map(move |path| (module, path)))
        .filter(move |(_, path)| to(path))
}

fn assert_holds(rule: fn(&[Module]) -> Vec<String>, modules: &[Module]) {
    let mut found = rule(modules);
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} times:\n{}", found.len(), found.join("\n"));
}

/// The rule finds exactly one fault in a file at this place of the server with this text.
#[track_caller]
fn assert_refuses(rule: fn(&[Module]) -> Vec<String>, place: &str, text: &str) {
    let path: Vec<&str> = place.split("::").collect();
    let modules = [Module::parse(&format!("server/src/{}.rs", path.join("/")), &path, text)];
    let found = rule(&modules);
    assert_eq!(found.len(), 1, "{found:?}");
}

macro_rules! rules {
    ($($name:ident: $place:literal, $counter_example:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn holds() {
                assert_holds($name, &read_crate("server"));
            }

            #[test]
            fn refuses() {
                assert_refuses($name, $place, $counter_example);
            }
        })*
    };
}

rules! {
    slice_rank: "domain::users::ops", "use crate::domain::{access::Grant, teams::Team};";
    domain_below_edge: "domain::users::ops", "fn f() { crate::edge::policy::row(); }";
    base_at_the_bottom: "base::ctx", "use super::super::domain::users::User;";
    floors_in_order: "domain::users::store", "use super::{model::User, ops};";
    only_ops_reach_the_store: "domain::jobs::dispatch::stream", "use crate::domain::jobs::store;";
    models_are_pure: "domain::users::model", "pub fn wait() -> tokio::time::Sleep { todo() }";
    only_rpc_knows_the_wire: "domain::users::ops::update", "use hivesync_proto::v1 as pb;";
    only_store_knows_sql: "domain::users::ops", "fn f() { log!(sea_orm::Set(1)); }";
    only_status_makes_a_status: "domain::users::rpc", "fn f() -> Status { Status::internal(\"no\") }";
}

mod only_the_binary_knows_its_neighbours {
    use super::*;

    #[test]
    fn holds() {
        assert_holds(only_the_binary_knows_its_neighbours, &read_crate("server"));
    }

    #[test]
    fn refuses() {
        let modules = [
            Module::parse("server/src/lib.rs", &[], "pub mod base;"),
            Module::parse("server/src/base/ctx.rs", &["base", "ctx"], "use hivesync::Client;"),
            Module::parse("server/src/cli.rs", &["cli"], "use hivesync::Client;"),
        ];
        let found = only_the_binary_knows_its_neighbours(&modules);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

mod no_cycles {
    use super::*;

    #[test]
    fn holds() {
        assert_holds(no_cycles, &read_crate("server"));
    }

    #[test]
    fn refuses() {
        let modules = [
            Module::parse("server/src/base/a.rs", &["base", "a"], "use super::b::B;"),
            Module::parse("server/src/base/b.rs", &["base", "b"], "use crate::base::c::C;"),
            Module::parse("server/src/base/c.rs", &["base", "c"], "use crate::base::a::A;"),
        ];
        assert_eq!(no_cycles(&modules), ["cycle: base::a -> base::b -> base::c -> base::a"]);
    }
}

#[test]
fn every_slice_of_the_order_is_there() {
    let domain = crate::source::repository().join("server/src/domain");
    let missing: Vec<_> = SLICES.iter().filter(|slice| !domain.join(slice).is_dir()).collect();
    assert!(missing.is_empty(), "there are no slices {missing:?}");
}

/// A file may call itself `rpc` anywhere; it is the floor only in its place.
#[test]
fn a_name_opens_no_door() {
    let text = "use tonic::Status;";
    for place in
        ["domain::users::ops::rpc", "domain::users::dispatch::rpc", "domain::users::store::rpc::wire"]
    {
        assert_refuses(only_rpc_knows_the_wire, place, text);
    }
    for place in ["domain::users::rpc", "domain::jobs::dispatch::rpc::wire"] {
        let path: Vec<&str> = place.split("::").collect();
        assert_eq!(only_rpc_knows_the_wire(&[Module::parse("file.rs", &path, text)]), Vec::<String>::new());
    }
}

/// Every crate, tests included.
fn all_crates() -> Vec<Module> {
    let mut modules: Vec<Module> =
        ["proto", "server", "sdk-rust", "sdk-ffi", "workers", "migrations", "tests"]
            .into_iter()
            .flat_map(read_crate)
            .collect();
    let suites = crate::source::repository().join("tests");
    for file in rust_files(&suites) {
        let name =
            file.strip_prefix(crate::source::repository()).expect("found below it").display().to_string();
        if !name.starts_with("tests/src/") {
            modules.push(Module::parse(&name, &[], &std::fs::read_to_string(&file).expect("readable")));
        }
    }
    modules
}

mod names_say_something {
    use super::*;

    #[test]
    fn holds() {
        assert_holds(names_say_something, &all_crates());
    }

    #[test]
    fn refuses() {
        assert_refuses(names_say_something, "base::string_utils", "");
    }
}

mod sizes_are_bounded {
    use super::*;

    #[test]
    fn holds() {
        let modules = all_crates();
        let file = modules.iter().max_by_key(|module| module.lines).expect("there are files");
        let function = modules
            .iter()
            .flat_map(|module| module.functions.iter().map(move |function| (module, function)))
            .max_by_key(|(_, (_, lines))| *lines);
        println!("longest file: {}, {} lines", file.file, file.lines);
        if let Some((module, (name, lines))) = function {
            println!("longest function: {} in {}, {lines} lines", name, module.file);
        }
        assert_holds(sizes_are_bounded, &modules);
    }

    #[test]
    fn refuses() {
        assert_refuses(sizes_are_bounded, "base::long", &format!("fn f() {{{}}}", "\n".repeat(80)));
        assert_refuses(sizes_are_bounded, "base::long", &"\n".repeat(801));
    }
}

/// Tests may know what the code they test may not.
#[test]
fn tests_are_not_judged() {
    let text = "#[cfg(test)] mod tests { use crate::domain::teams::Team; async fn f() {} }";
    let modules = [Module::parse("server/src/domain/users/model.rs", &["domain", "users", "model"], text)];
    assert_eq!(slice_rank(&modules), Vec::<String>::new());
    assert_eq!(models_are_pure(&modules), Vec::<String>::new());
}
