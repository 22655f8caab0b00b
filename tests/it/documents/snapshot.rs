use std::collections::BTreeSet;

use sandtower::e2b::{Config, NewSandbox};
use sandtower::stack::Stack;
use serde_json::Value;

use super::{read, table};

#[tokio::test(start_paused = true)]
async fn every_field_of_the_snapshot_is_in_the_table_and_no_other() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let stack = Stack::builder(Config::new("e2b_0123").unwrap()).default_template("base");
    let stack = stack.build().unwrap();
    let client = stack.client(sim);
    client.create(&NewSandbox::new("base")).await.unwrap();
    let mut there = BTreeSet::new();
    names("", &serde_json::to_value(stack.handles().snapshot()).unwrap(), &mut there);

    let document = read("docs/operations.md");
    let rows = table(&document, "## The snapshot");
    let listed: BTreeSet<String> = rows.iter().flat_map(|row| fields(&row[0])).collect();
    let missing: Vec<_> = there.difference(&listed).collect();
    let invented: Vec<_> = listed.difference(&there).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing: {missing:#?}\nnone: {invented:#?}"
    );
}

/// `retry.retries, returns` is `retry.retries` and `retry.returns`.
fn fields(cell: &str) -> Vec<String> {
    let (first, others) = cell.split_once(", ").unwrap_or((cell, ""));
    let section =
        first.rsplit_once('.').map_or(String::new(), |(section, _)| format!("{section}."));
    let others = others.split(", ").filter(|name| !name.is_empty());
    std::iter::once(first.to_owned()).chain(others.map(|name| format!("{section}{name}"))).collect()
}

fn names(path: &str, value: &Value, all: &mut BTreeSet<String>) {
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| names(&below(name), value, all));
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.iter().for_each(|value| names(path, value, all));
        }
        // Two breakers, whose fields the table has once.
        _ => match path.strip_prefix("data_plane_breaker.") {
            Some(field) => drop(all.insert(format!("control_plane_breaker.{field}"))),
            None => drop(all.insert(path.to_owned())),
        },
    }
}
