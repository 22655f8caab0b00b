//! The client over real connections: its own transport, and the simulator behind a socket.

use std::time::Duration;

use sandtower::e2b::{
    Client, Code, Command, HttpTransport, ListSandboxes, NewSandbox, ProcessEvent,
};
use tokio::net::TcpListener;

use super::config;

#[tokio::test]
async fn all_of_it_works_over_a_socket() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(sandtower_sim::serve(listener, sim.clone(), std::future::pending()));
    let config = config().api_url(&url).unwrap().sandbox_url(&url).unwrap();
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    let client = Client::new(transport, config);

    client.health().await.unwrap();
    let new = NewSandbox::new("code-interpreter-v1").timeout(Duration::from_secs(60));
    let sandbox = client.kill_on_drop(client.create(&new).await.unwrap());
    let output = client.run(&sandbox, &Command::new("echo hi; exit 3")).await.unwrap();
    assert_eq!((output.stdout_text().as_ref(), output.exit_code), ("hi\n", 3));

    // It arrives before the command ends: nothing on the way holds the stream back.
    let mut cat = client.start(&sandbox, &Command::new("cat").stdin(true)).await.unwrap();
    client.send_stdin(&sandbox, cat.pid(), b"abc\n").await.unwrap();
    assert_eq!(cat.next().await.unwrap().unwrap(), ProcessEvent::Stdout("abc\n".into()));
    assert!(client.kill_process(&sandbox, cat.pid()).await.unwrap());
    assert!(!cat.output(100).await.unwrap().is_success());

    let content = vec![7; 1_000_000];
    client.write_file(&sandbox, "/tmp/a.bin", content.clone()).await.unwrap();
    assert_eq!(client.read_file(&sandbox, "/tmp/a.bin").await.unwrap(), content);
    let execution = client.run_code(&sandbox, &Code::new("1 + 1")).await.unwrap();
    assert_eq!(execution.text(), Some("2"));
    assert_eq!(client.list_all(ListSandboxes::default()).await.unwrap().len(), 1);
    assert!(sandbox.close().await.unwrap());
    assert_eq!(sim.active(), 0);
    serving.abort();
}
