//! The driver of `scenario.json` for Rust. What a driver must do is said there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test talks to its harness and fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "the harness says by the environment what there is")]

mod actor;

use std::{collections::HashMap, env, fs, io, time::Duration};

use actor::{Actor, Story};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long a step may take.
const STEP_MAX: Duration = Duration::from_secs(60);

/// What the harness says in the environment.
pub(crate) fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The next line from the harness.
fn line() -> Value {
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("the harness answers");
    serde_json::from_str(&line).expect("the answer is JSON")
}

fn ask(what: &Value) -> Value {
    println!("{}", json!({ "ask": what }));
    json!({ "answer": line() })
}

#[tokio::main]
async fn main() {
    let scenario: Value = serde_json::from_slice(&fs::read(setting("HIVESYNC_SCENARIO")).unwrap()).unwrap();
    let mut story = Story::new(&line());
    let mut actors: HashMap<String, Actor> = HashMap::new();
    for (number, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
        let outcome = match step["as"].as_str() {
            None => ask(&step["what"]),
            Some(name) => {
                if !actors.contains_key(name) {
                    actors.insert(name.to_owned(), Actor::new(name).await);
                }
                let acted = actors.get_mut(name).expect("it is there").act(&mut story, step);
                let outcome = timeout(STEP_MAX, Box::pin(acted)).await.expect("the step ends in time");
                outcome
                    .unwrap_or_else(|error| json!({ "error": error.code(), "reason": actor::reason(&error) }))
            }
        };
        println!("{}", json!({ "step": number + 1, "outcome": outcome }));
    }
}
