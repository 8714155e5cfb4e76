//! Layers, secrets, rules, and the two files made from the declarations.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("temporary directory");
    let path = directory.path().join("config.toml");
    fs::write(&path, text).expect("written");
    (directory, path)
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let (_directory, path) = file(text);
    Config::load(Some(&path), &Overrides::default())
}

fn environment(pairs: &[(&str, &str)]) -> Overrides {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Overrides { environment: pairs.iter().map(own).collect() }
}

fn refusal(text: &str) -> String {
    load(text).map(drop).expect_err("refused").to_string()
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn unknown_key_is_named() {
    let text = refusal("[server]\nlisten_on = \"127.0.0.1:1\"\n");
    assert!(text.contains("listen_on"), "{text}");
}

#[test]
fn unknown_section_is_named() {
    let text = refusal("[sever]\n");
    assert!(text.contains("sever"), "{text}");
}

#[test]
fn value_of_another_type_names_the_key() {
    let text = refusal("[server]\nbody_bytes_max = \"plenty\"\n");
    assert!(text.contains("server.body_bytes_max"), "{text}");
}

#[test]
fn every_value_out_of_range_is_named() {
    let text = refusal("[hsm]\nsign_queue_max = 0\n[outbox]\nlease_ms = 1\n");
    assert!(text.contains("`hsm.sign_queue_max` must be 1 to 1000000, not 0"), "{text}");
    assert!(text.contains("`outbox.lease_ms` must be 1000 to 3600000, not 1"), "{text}");
}

#[test]
fn bad_origin_network_filter_and_fingerprint_are_named() {
    let text = refusal(
        "[server]\npublic_origin = \"custody.example\"\ntrusted_proxies = [\"10.0.0.0/33\"]\n\
         [telemetry]\nlog_filter = \"a=b=c\"\n[audit]\nkey_fingerprint = \"12\"\n",
    );
    for key in
        ["server.public_origin", "server.trusted_proxies", "telemetry.log_filter", "audit.key_fingerprint"]
    {
        assert!(text.contains(key), "{key}: {text}");
    }
}

const ONE: &str = "00000000-0000-0000-0000-000000000001";
const TWO: &str = "00000000-0000-0000-0000-000000000002";
const THREE: &str = "00000000-0000-0000-0000-000000000003";

#[test]
fn every_organization_has_an_origin_of_its_own() {
    let text = format!(
        "[server]\npublic_origin = \"https://custody.example:8443\"\n[core]\norganization = \"{ONE}\"\n\
         [core.hosts]\n\"custody.example\" = \"{ONE}\"\n\"Two.example\" = \"{TWO}\"\n\
         \"a.three.example\" = \"{THREE}\"\n\"b.three.example\" = \"{THREE}\"\n\
         [core.origins]\n\"{THREE}\" = \"https://three.example\"\n"
    );
    let origins = load(&text).expect("loads").tenant_origins().expect("read");
    let of = |id: &str| origins.get(&id.parse().expect("an id")).map(String::as_str);
    assert_eq!(of(ONE), None, "the deployment's own");
    assert_eq!(of(TWO), Some("https://two.example:8443"));
    assert_eq!(of(THREE), Some("https://three.example"));
}

#[test]
fn origins_that_two_organizations_would_share_are_refused() {
    let hosts = format!("[core.hosts]\n\"a.example\" = \"{TWO}\"\n\"b.example\" = \"{TWO}\"\n");
    assert!(refusal(&hosts).contains("it has several hosts"), "{}", refusal(&hosts));
    let same = format!(
        "[server]\npublic_origin = \"https://a.example\"\n[core]\norganization = \"{ONE}\"\n\
         [core.hosts]\n\"b.example\" = \"{TWO}\"\n[core.origins]\n\"{TWO}\" = \"https://a.example\"\n"
    );
    assert!(refusal(&same).contains("an origin of its own"), "{}", refusal(&same));
    let bad = format!("[core.origins]\n\"{TWO}\" = \"a.example/path\"\n");
    assert!(refusal(&bad).contains("must be scheme, host and port"), "{}", refusal(&bad));
}

#[test]
fn a_key_counts_as_interrupted_later_than_the_token_may_take() {
    let text = refusal("[hsm]\ngenerate_timeout_ms = 60000\n[limits]\nunfinished_key_seconds = 60\n");
    assert!(text.contains("`limits.unfinished_key_seconds` must exceed `hsm.generate_timeout_ms`"), "{text}");
}

#[test]
fn chain_without_id_and_chain_given_twice_are_refused() {
    assert!(refusal("[[chains]]\nconfirmations = 3\n").contains("chains.id"));
    let text = refusal("[[chains]]\nid = \"eip155:1\"\n[[chains]]\nid = \"eip155:1\"\n");
    assert!(text.contains("configured twice"), "{text}");
}

#[test]
fn contract_accounts_need_a_chain_with_as_many_nodes_as_must_agree() {
    let text = |urls: &str| {
        format!(
            "[core.contract_accounts]\nenabled = true\n[[chains]]\nid = \"eip155:1\"\nrpc_urls = \"{urls}\"\n"
        )
    };
    assert!(load(&text("http://a.example, http://b.example")).is_ok());
    for urls in ["http://a.example", "http://a.example, http://a.example"] {
        assert!(refusal(&text(urls)).contains("2 different `rpc_urls`"), "{urls}");
    }
    let one = refusal("[core.contract_accounts]\nagreement = 1\n");
    assert!(one.contains("`core.contract_accounts.agreement` must be 2 to 16, not 1"), "{one}");
}

#[test]
fn a_verification_service_has_an_inbox_of_its_own_and_one_key() {
    let service = |more: &str| format!("[[verification_services]]\nname = \"Orion\"\n{more}\n");
    let (one, built_in) = (format!("inbox = \"0x{}\"\n", "11".repeat(20)), "built_in = \"rsa4096\"\n");
    assert!(load(&service(&format!("{one}{built_in}"))).is_ok());
    for (text, rule) in [
        (service(built_in), "`inbox` must be"),
        (service(&one), "either `built_in` or `public_key_file`"),
        (service(&format!("{one}built_in = \"rsa1024\"\n")), "`built_in` must be"),
        (service(&format!("{one}{built_in}")).repeat(2), "is the inbox of two"),
        (
            service(&format!("{one}{built_in}name = \"\"\n")).replacen("name = \"Orion\"\n", "", 1),
            "`name` must have",
        ),
    ] {
        let refused = refusal(&text);
        assert!(refused.contains(rule), "{refused}");
    }
}

#[test]
fn environment_overrides_the_file() {
    let (_directory, path) = file("[server]\nlisten = \"127.0.0.1:1\"\nbody_bytes_max = 2048\n");
    let overrides = environment(&[
        ("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:2"),
        ("COUNTERSIGN__SERVER__CORS_ORIGINS", "https://a.example, https://b.example"),
        ("COUNTERSIGN__CORE__ETH_SIGNATURE__ALLOW_UNTIMED", "true"),
        ("COUNTERSIGN_TEST_POSTGRES_URL", "ignored"),
    ]);
    let config = Config::load(Some(&path), &overrides).expect("loads");
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.body_bytes_max, 2048);
    assert_eq!(config.server.cors_origins.0, ["https://a.example", "https://b.example"]);
    assert!(config.core.eth_signature.allow_untimed);
}

#[test]
fn unknown_key_in_the_environment_is_named() {
    let result = Config::load(None, &environment(&[("COUNTERSIGN__SERVER__LISTENS", "x")]));
    let text = result.map(drop).expect_err("refused").to_string();
    assert!(text.contains("listens"), "{text}");
}

#[test]
fn secret_comes_from_its_file_without_the_final_line_break() {
    let (directory, path) = file("");
    let pin = directory.path().join("pin");
    fs::write(&pin, "12 34\n").expect("written");
    fs::write(&path, format!("[hsm]\npin_file = {:?}\n", pin.display().to_string())).expect("written");
    let config = Config::load(Some(&path), &Overrides::default()).expect("loads");
    assert_eq!(config.hsm.pin.expect("read").expose(), "12 34");
}

#[test]
fn secret_given_twice_is_refused() {
    let text = refusal("[hsm]\npin = \"1\"\npin_file = \"/nowhere\"\n");
    assert!(text.contains("`hsm.pin` and `hsm.pin_file` exclude each other"), "{text}");
}

#[test]
fn absent_secret_file_is_named() {
    let text = refusal("[hsm]\npin_file = \"/nowhere/pin\"\n");
    assert!(text.contains("/nowhere/pin"), "{text}");
}

#[test]
fn broken_line_is_named_by_number_and_not_quoted() {
    let text = refusal("[hsm]\npin = \"hunter2\n");
    assert!(text.contains("line 2"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// The host takes no more, and would say so of every component under a name that is no key.
#[test]
fn plugins_are_given_no_more_memory_than_the_host_can_lay_out() {
    for key in ["memory_bytes_max", "large_memory_bytes_max"] {
        assert!(load(&format!("[plugins]\n{key} = 268435456\n")).is_ok(), "{key}");
        let text = refusal(&format!("[plugins]\n{key} = 268435457\n"));
        let rule = format!("`plugins.{key}` must be 65536 to 268435456, not 268435457");
        assert!(text.contains(&rule), "{text}");
    }
}

#[test]
fn dev_lies_under_the_file_and_the_command_line_over_it() {
    let (_directory, path) = file("[server]\nlisten = \"127.0.0.1:1\"\n[hsm]\ntoken_label = \"mine\"\n");
    let place = DevPlace {
        data_dir: "/data".into(),
        listen: "127.0.0.1:7".parse().expect("address"),
        operator_listen: "127.0.0.1:8".parse().expect("address"),
    };
    let config = Config::for_dev(Some(&path), &place, &Overrides::default()).expect("loads");
    assert_eq!(config.server.listen.port(), 7);
    assert_eq!(config.hsm.token_label.as_deref(), Some("mine"));
    assert_eq!(config.database.url.expect("default").expose(), "sqlite:///data/countersign.db");
    assert_eq!(config.chains[0].id, "eip155:31337");
}

#[test]
fn missing_key_is_named_when_it_is_needed() {
    let config = Config::load(None, &Overrides::default()).expect("loads");
    assert_eq!(
        config.database.store_config().map(drop).expect_err("refused").to_string(),
        "`database.url` is not configured"
    );
    let error = config.hsm.hsm_config(Path::new("/data")).map(drop).expect_err("refused");
    assert_eq!(error.to_string(), "`hsm.module` is not configured");
}

#[test]
fn defaults_are_those_of_the_layers() {
    let config = Config::default();
    let url = Some(Secret::new("sqlite:///x".to_owned()));
    let database = Database { url, ..config.database.clone() };
    let store = gateway_store::StoreConfig::new(gateway_store::DatabaseUrl::new("sqlite:///x"));
    assert_eq!(format!("{:?}", database.store_config().expect("complete")), format!("{store:?}"));
    assert_eq!(config.api_config().expect("valid"), gateway_api::ApiConfig::default());
    let own = plugin_host::Limits::default();
    let host = config.plugins.host_config(
        plugin_host::CompileCommand { program: "/bin/true".into(), arguments: Vec::new() },
        plugin_host::CacheKey::new([0; 32]),
        Path::new("/data"),
    );
    assert_eq!(format!("{:?}", host.limits), format!("{own:?}"));
    let schedule = plugin_host::ScheduleConfig::default();
    assert_eq!(format!("{:?}", host.schedule), format!("{schedule:?}"));
    let chain = Chain { id: "eip155:1".to_owned(), ..Chain::default() }.chain_config().expect("valid");
    assert_eq!(chain, gateway_chains::registry::ChainConfig::new(chain.id));
}

#[test]
fn example_file_is_current_and_parses_to_the_defaults() {
    let text = fs::read_to_string(repository("deploy/config.example.toml")).expect("readable");
    assert!(text == reference::example_file(), "run `countersign config-reference --example`");
    let config = load(&text).expect("loads");
    assert_eq!(config.server.listen, Server::default().listen);
    assert!(config.chains.is_empty());
}

/// Uncommenting proves that every name is a key and every shown value parses.
#[test]
fn every_key_of_the_example_file_can_be_set() {
    let mut text = String::new();
    for line in reference::example_file().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare
            .split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let uncommented = is_key || bare.starts_with("[[");
        if uncommented && !bare.contains("_file = \"/run/") {
            text.push_str(bare);
            text.push('\n');
        } else if line.starts_with('[') {
            text.push_str(line);
            text.push('\n');
        }
    }
    let config = load(&text).expect("loads");
    assert_eq!(config.chains.len(), 1);
    assert_eq!(config.hsm.token_label.as_deref(), Some("countersign"));
}

#[test]
fn reference_page_is_current() {
    let text = fs::read_to_string(repository("deploy/CONFIGURATION.md")).expect("readable");
    assert!(text == reference::reference_page(), "run `countersign config-reference`");
}
