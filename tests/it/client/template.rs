use sandtower::e2b::{EVENTS, NewSandbox};
use sandtower::stack::Stack;

use super::config;
use super::log::Log;

#[tokio::test(start_paused = true)]
async fn an_unknown_template_is_replaced_through_the_whole_stack_and_logged() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let stack = Stack::builder(config()).default_template("base").build().unwrap();
    let client = stack.client(sim);
    let log = Log::default();
    let logging = log.begin();

    let sandbox = client.create(&NewSandbox::new("gone")).await.unwrap();

    drop(logging);
    let info = client.info(sandbox.id()).await.unwrap();
    assert_eq!(info.alias.as_deref(), Some("base"));
    let used = stack.handles().snapshot().default_template.unwrap();
    assert_eq!((used.used, used.cured), (1, 1));
    let text = log.text();
    let event = text.lines().find(|line| line.contains("sandbox_create_default_template")).unwrap();
    let fields = [EVENTS, r#"template="gone""#, r#"default_template="base""#, "call_id="];
    assert!(fields.iter().all(|field| event.contains(field)), "{event}");
    assert_eq!(text.matches("sandbox_create_success").count(), 1, "{text}");
}
