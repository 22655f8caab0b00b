use super::{Folder, Time};
use crate::virtual_keys::secret::Hash;
use crate::virtual_keys::{Declared, KeyChange, KeyError, KeyId, VirtualKeys};

const SECRET: &[u8] = b"e2b_0123456789";

fn sha256(secret: &[u8]) -> String {
    Hash::of(secret).0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(folder: &Folder, text: &str) -> Result<Vec<Declared>, String> {
    let file = folder.0.join("keys.toml");
    std::fs::write(&file, text).unwrap();
    Declared::read(&file, &folder.upstreams()).map_err(|error| error.to_string())
}

fn configure(keys: &VirtualKeys, folder: &Folder, text: &str) {
    keys.configure(&folder.upstreams(), &read(folder, text).unwrap());
}

#[test]
fn keys_in_the_file_are_there_and_those_that_were_in_it_are_not() {
    let (folder, time) = (Folder::new(), Time::new());
    let keys = folder.open(&time);
    let hash = sha256(SECRET);
    let one = format!(
        "[[key]]\nname = \"search\"\nsha256 = \"{hash}\"\nlimits = {{ concurrent_sandboxes = 5 }}\n"
    );
    configure(&keys, &folder, &one);
    let id = KeyId::declared("search");
    assert_eq!(keys.find(SECRET).unwrap().id(), id);
    let info = keys.get(&id).unwrap();
    assert_eq!((info.limits.concurrent_sandboxes, info.declared), (Some(5), true));
    assert_eq!(keys.update(&id, KeyChange::default()), Err(KeyError::Declared));
    assert_eq!(keys.rotate(&id).unwrap_err(), KeyError::Declared);

    configure(&keys, &folder, &one.replace("= 5", "= 7"));
    assert_eq!(keys.get(&id).unwrap().limits.concurrent_sandboxes, Some(7));
    // What an operator revokes stays so, until there is another secret.
    keys.revoke(&id).unwrap();
    configure(&keys, &folder, &one);
    assert!(keys.find(SECRET).unwrap().is_revoked());
    configure(&keys, &folder, &one.replace(&hash, &sha256(b"e2b_another")));
    assert!(keys.find(SECRET).is_none());
    assert!(!keys.find(b"e2b_another").unwrap().is_revoked());

    configure(&keys, &folder, "");
    assert!(keys.find(b"e2b_another").unwrap().is_revoked());
    drop(keys);
    let keys = folder.open(&time);
    assert!(keys.find(b"e2b_another").unwrap().is_revoked(), "also after a restart");
}

#[test]
fn a_mistake_in_the_file_is_named_and_no_secret_is_shown() {
    let folder = Folder::new();
    let hash = sha256(SECRET);
    let key = |more: &str| format!("[[key]]\nname = \"a\"\n{more}\n");
    for (text, expected) in [
        ("[[key]]\nname = 1\n".to_owned(), ":2: keys.file: invalid type"),
        (key("sha256 = \"e2b_0123456789\""), "key \"a\": `sha256`: it must be the SHA-256"),
        (key(""), "missing field `sha256`"),
        (key(&format!("sha256 = \"{hash}\"\nupstream = \"x\"")), "`upstream`: it must name a key"),
        (
            key(&format!("sha256 = \"{hash}\"\ntemplates = [\"\"]")),
            "`templates`: it must be a list",
        ),
        (
            key(&format!("sha256 = \"{hash}\"\n{}", key(&format!("sha256 = \"{hash}\"")))),
            "a name of its own",
        ),
    ] {
        let error = read(&folder, &text).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
    let two = format!(
        "{}{}",
        key(&format!("sha256 = \"{hash}\"")),
        key(&format!("sha256 = \"{hash}\"")).replace("\"a\"", "\"b\"")
    );
    assert!(read(&folder, &two).unwrap_err().contains("a secret of its own"));
}
