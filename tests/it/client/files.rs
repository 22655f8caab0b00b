use sandtower::core::Outcome;
use sandtower::e2b::{Error, FileKind, Hint, RemotePath};

use super::sandbox;

#[tokio::test(start_paused = true)]
async fn a_written_file_is_read_whatever_its_name() {
    let (_, client, sandbox) = sandbox().await;
    let content: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for path in ["/tmp/a/b/c.bin", "relative.bin", "/tmp/a b&c=?é.bin", "/tmp/\"quoted\".bin"] {
        client.write_file(&sandbox, path, content.clone()).await.unwrap();
        assert_eq!(client.read_file(&sandbox, path).await.unwrap(), content, "{path}");
    }
    client.write_file(&sandbox, "relative.bin", "shorter").await.unwrap();
    assert_eq!(client.read_file(&sandbox, "/home/user/relative.bin").await.unwrap(), "shorter");
    client.write_file(&sandbox, "empty", "").await.unwrap();
    assert_eq!(client.read_file(&sandbox, "empty").await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn no_file_exhausts_the_callers_memory() {
    let (_, client, sandbox) = sandbox().await;
    client.write_file(&sandbox, "/tmp/long", vec![7; 1_000]).await.unwrap();
    let error = client.read_file_up_to(&sandbox, "/tmp/long", 999).await.unwrap_err();
    assert!(matches!(error, Error::FileTooLong { longest: 999, .. }), "{error}");
    assert_eq!(error.hint(), Hint::Stop);
    assert_eq!(client.read_file_up_to(&sandbox, "/tmp/long", 1_000).await.unwrap().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn files_are_listed_moved_and_removed() {
    let (_, client, sandbox) = sandbox().await;
    assert!(client.make_dir(&sandbox, "/tmp/d/e").await.unwrap());
    assert!(!client.make_dir(&sandbox, "/tmp/d/e").await.unwrap());
    client.write_file(&sandbox, "/tmp/d/hello.txt", "hello").await.unwrap();

    let found = client.list_dir(&sandbox, "/tmp/d", 1).await.unwrap();
    let mut names: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.kind)).collect();
    names.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(names, [("e", FileKind::Directory), ("hello.txt", FileKind::File)]);
    assert!(client.list_dir(&sandbox, "/tmp/d/e", 1).await.unwrap().is_empty());

    let file = client.stat(&sandbox, "/tmp/d/hello.txt").await.unwrap().unwrap();
    assert_eq!((file.size, file.owner.as_str()), (5, "user"));
    assert!(client.stat(&sandbox, "/tmp/nope").await.unwrap().is_none());

    client.rename(&sandbox, "/tmp/d/hello.txt", "/tmp/d/e/bye.txt").await.unwrap();
    assert!(!client.exists(&sandbox, "/tmp/d/hello.txt").await.unwrap());
    assert!(client.exists(&sandbox, "/tmp/d/e/bye.txt").await.unwrap());

    client.remove(&sandbox, "/tmp/d").await.unwrap();
    assert!(!client.exists(&sandbox, "/tmp/d").await.unwrap());
    client.remove(&sandbox, "/tmp/d").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_can_be_accessed_as_another_user() {
    let (_, client, sandbox) = sandbox().await;
    let path = RemotePath::from("root.txt").user("root");
    client.write_file(&sandbox, path.clone(), "mine").await.unwrap();
    let file = client.stat(&sandbox, path).await.unwrap().unwrap();
    assert_eq!(file.owner, "root");
    assert!(!client.exists(&sandbox, "root.txt").await.unwrap(), "each has a home");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_envd_is_quoted() {
    let (_, client, sandbox) = sandbox().await;
    let error = client.read_file(&sandbox, "/nope").await.unwrap_err();
    assert_eq!(error.status().unwrap(), 404);
    assert!(error.to_string().ends_with("404: path '/nope' does not exist"), "{error}");
    assert_eq!(error.verdict().outcome, Outcome::Permanent);
    assert_eq!(client.read_file(&sandbox, "/tmp").await.unwrap_err().status().unwrap(), 400);
    assert!(client.list_dir(&sandbox, "/nope", 1).await.is_err());
    assert!(client.rename(&sandbox, "/nope", "/tmp/x").await.is_err());
    let full = client.write_file(&sandbox, "/tmp/big", vec![0; 16 << 20]).await.unwrap_err();
    assert_eq!(full.status().unwrap(), 507);
}
