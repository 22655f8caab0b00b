//! Configurations with each kind of mistake: the line, what is wrong, and what would be right.

use std::io::Write as _;
use std::path::PathBuf;

use sandtower_gateway::config::Source;

/// A file in the folder for temporary files, gone with this.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sandtower-{}-{name}.toml", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn a_mistake_is_named_with_its_line_and_what_would_be_right() {
    let tries: &[(&str, &str, usize, &str, &str)] = &[
        ("syntax", "listen = \n", 1, "it is not TOML", ""),
        ("unknown", "\nlisten = \"127.0.0.1:0\"\nlisen = 1\n", 3, "lisen", "expected one of"),
        ("section", "[limits]\nkeyz = 1\n", 2, "keyz", "expected one of"),
        ("address", "listen = \"localhost\"\n", 1, "listen", "socket address"),
        ("type", "[limits]\n\nkeys = \"many\"\n", 3, "limits.keys", "nonzero"),
        ("time", "client_timeout = \"soon\"\n", 1, "client_timeout", "30s"),
        ("range", "client_timeout = \"900ms\"\n", 1, "client_timeout", "at least 1s"),
        ("size", "[limits]\ncontrol_body = \"big\"\n", 2, "limits.control_body", "4MiB"),
        ("owner", "owner = \"A B\"\n", 1, "owner", "`a` to `z`"),
        ("domain", "domain = \"https://gw\"\n", 1, "domain", "gw.example.com"),
        (
            "network",
            "trusted_proxies = [\n  \"10.0.0.0/8\",\n  \"lan\",\n]\n",
            1,
            "trusted_proxies[1]",
            "10.0.0.0/8",
        ),
        ("journal", "journal = \"/nowhere/at/all\"\n", 1, "journal", "a folder that exists"),
        ("twice", "owner = \"a\"\nowner = \"b\"\n", 2, "it is not TOML", "duplicate"),
        ("section as a value", "limits = 3\n", 1, "limits", "struct Limits"),
        ("zero", "[limits]\nconnections = 0\n", 2, "limits.connections", "nonzero"),
        ("negative", "workers = -1\n", 1, "workers", "expected"),
        ("choice", "[access_log]\nrequests = \"some\"\n", 2, "access_log.requests", "`notable`"),
        (
            "no time",
            "[limits]\nwrite_timeout = \"0s\"\n",
            2,
            "limits.write_timeout",
            "greater than zero",
        ),
        ("header", "[limits]\nheader_size = \"1KiB\"\n", 2, "limits.header_size", "at least 8KiB"),
        ("half a certificate", "[tls]\ncertificate = \"a.pem\"\n", 1, "tls", "missing field `key`"),
        (
            "no certificate",
            "[tls]\ncertificate = \"/nowhere.pem\"\nkey = \"/nowhere.pem\"\n",
            2,
            "tls.certificate",
            "/nowhere.pem cannot be read",
        ),
        (
            "no authority",
            "[upstream]\n\nroot_certificates = \"/nowhere.pem\"\n",
            3,
            "upstream.root_certificates",
            "/nowhere.pem cannot be read",
        ),
        ("upstream", "[upstream]\ndomain = \"e2b app\"\n", 2, "upstream.domain", "e2b.app"),
        ("proxy", "[upstream]\nproxy = \"ftp://a b\"\n", 1, "upstream", "proxy"),
        (
            "stack out of range",
            "[stack.retry]\nattempts = 0\n",
            2,
            "stack.retry.attempts",
            "nonzero",
        ),
        (
            "stack time out of range",
            "[stack]\n[stack.circuit_breaker]\nopen_for = \"0s\"\n",
            2,
            "stack.circuit_breaker",
            "`open_for` must be greater than zero",
        ),
        (
            "two plans",
            "[stack]\nplan = \"pro\"\ncustom_plan = { create_every = \"1s\", sandboxes = 1, concurrent_creates = 1 }\n",
            2,
            "stack.plan",
            "conflicts with `custom_plan`; remove",
        ),
        ("half", "[upstream]\napi_url = \"http://a\"\n", 1, "upstream.sandbox_url", "must be set"),
        (
            "url",
            "[upstream]\napi_url = \"a/b\"\nsandbox_url = \"c\"\n",
            1,
            "upstream",
            "https://api.e2b.app",
        ),
        (
            "place without a name",
            "[[places]]\ndomain = \"eu.example\"\nkeys = {}\n",
            1,
            "places[0]",
            "missing field `name`",
        ),
        (
            "place without keys",
            "[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\n",
            1,
            "places[0]",
            "missing field `keys`",
        ),
        (
            "place with no key",
            "[keys.upstream.team]\nenv = \"KEY\"\n[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\n[places.keys]\n",
            6,
            "places[0].keys",
            "it must name a key of this place for at least one key of home, such as `team = { env = \"E2B_KEY\" }`: team",
        ),
        (
            "place with a key that stands for none",
            "[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\n\n[places.keys]\nteam = { env = \"KEY\" }\n",
            6,
            "places[0].keys.team",
            "there is none: name the keys of home in the section `keys.upstream`",
        ),
        (
            "place without its key",
            "[keys.upstream.team]\nenv = \"PATH\"\n[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\nkeys.team.env = \"SANDTOWER_NO_SUCH\"\n",
            6,
            "places[0].keys.team",
            "SANDTOWER_NO_SUCH must be set to the key",
        ),
        (
            "place by the name of home",
            "[[places]]\nname = \"home\"\ndomain = \"eu.example\"\nkeys = {}\n",
            2,
            "places[0].name",
            "`home` is the place of the section `upstream`",
        ),
        (
            "name of a place",
            "[[places]]\nname = \"EU West\"\ndomain = \"eu.example\"\nkeys = {}\n",
            2,
            "places[0].name",
            "`a` to `z`",
        ),
        (
            "place without a domain",
            "[[places]]\nname = \"eu\"\nkeys = {}\n",
            1,
            "places[0].domain",
            "either it must be set, or `api_url` and `sandbox_url`",
        ),
        (
            "place with both",
            "[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\napi_url = \"http://a\"\nkeys = {}\n",
            3,
            "places[0].domain",
            "either it must be set, or",
        ),
        (
            "place with half of its addresses",
            "[[places]]\nname = \"eu\"\napi_url = \"http://a\"\nkeys = {}\n",
            1,
            "places[0].sandbox_url",
            "must be set as well",
        ),
        (
            "place where home is",
            "[[places]]\nname = \"eu\"\ndomain = \"e2b.app\"\nkeys = {}\n",
            3,
            "places[0].domain",
            "another one than that of `home`",
        ),
        (
            "place with an unknown setting",
            "[[places]]\nname = \"eu\"\nregion = \"eu\"\nkeys = {}\n",
            3,
            "region",
            "expected one of",
        ),
        (
            "second place",
            "[keys.upstream.team]\nenv = \"PATH\"\n[[places]]\nname = \"eu\"\ndomain = \"eu.example\"\nkeys.team.env = \"KEY\"\n[[places]]\nname = \"us\"\ndomain = \"b c\"\nkeys.team.env = \"KEY\"\n",
            9,
            "places[1].domain",
            "such as e2b.app",
        ),
        ("failover", "failover_after = \"0s\"\n", 1, "failover_after", "greater than zero"),
        ("stack", "[stack.retry]\nattemps = 3\n", 2, "stack.retry.attemps", "expected one of"),
        (
            "value",
            "[stack.circuit_breaker]\nopen_for = \"x\"\n",
            2,
            "stack.circuit_breaker.open_for",
            "60s",
        ),
    ];
    for (name, text, line, setting, right) in tries {
        let file = File::new(name, text);
        let error = Source::new().file(&file.0).read().unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.line(), Some(*line), "{name}: {shown}");
        assert!(shown.contains(setting) && shown.contains(right), "{name}: {shown}");
        assert!(shown.contains(&format!(".toml:{line}: ")), "{name}: {shown}");
    }
}

#[test]
fn the_last_one_of_file_environment_and_setting_wins() {
    let file = File::new("order", "owner = \"file\"\n[limits]\nkeys = 1\nsandboxes = 1\n");
    let environment =
        [("SANDTOWER__OWNER", "env"), ("SANDTOWER__LIMITS__KEYS", "2"), ("SANDTOWER_X", "y")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let source = Source::new().file(&file.0).environment(environment).set("limits.keys=3").unwrap();
    let config = source.read().unwrap();
    assert_eq!(
        (&*config.owner, config.limits.keys.get(), config.limits.sandboxes.get()),
        ("env", 3, 1)
    );
}

#[test]
fn what_is_not_in_the_file_is_not_blamed_on_it() {
    let file = File::new("blame", "owner = \"a\"\n");
    let error = Source::new().file(&file.0).set("limits.keys=none").unwrap().read().unwrap_err();
    assert_eq!((error.setting(), error.line()), ("limits.keys", None));
    let missing = Source::new().file("/nowhere.toml").read().unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere.toml: "), "{missing}");
    assert!(Source::new().set("limits.keys").is_err());
}
