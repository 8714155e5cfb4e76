use serde_json::json;

use super::*;

fn config(extra: &serde_json::Value) -> Result<ChainConfig, serde_json::Error> {
    let mut object = json!({"id": "eip155:31337"});
    for (name, value) in extra.as_object().unwrap() {
        object[name] = value.clone();
    }
    serde_json::from_value(object)
}

fn id(number: u64) -> ChainId {
    ChainId::eip155(number).unwrap()
}

#[test]
fn absent_settings_have_the_documented_defaults() {
    let chain = config(&json!({})).unwrap();
    assert_eq!(chain, ChainConfig::new(id(31_337)));
    assert_eq!(chain.agreement, 1);
    assert_eq!((chain.confirmations, chain.native_symbol.as_str()), (12, "ETH"));
    assert_eq!((chain.rpc_connect_timeout_ms, chain.rpc_call_timeout_ms), (2_000, 10_000));
    assert_eq!((chain.rpc_response_bytes_max, chain.fee_quote_age_max_ms), (2 * 1024 * 1024, 1_000));
    assert_eq!(chain.block_age_max(), Duration::from_mins(10));
    assert_eq!((chain.gas_limit_max, chain.gas_limit_headroom_percent), (3_000_000, 20));
    assert_eq!(
        chain.fee_policy(),
        FeePolicy {
            base_fee_percent: 200,
            priority_fee_min: 10_000_000,
            priority_fee_max: 20_000_000_000,
            fee_per_gas_max: 500_000_000_000,
            replacement_bump_permille: 125,
        }
    );
}

#[test]
fn unknown_settings_and_foreign_ids_are_refused() {
    assert!(config(&json!({"fee_per_gas_max": 1})).is_err());
    assert!(config(&json!({"id": "bip122:0"})).is_err());
}

#[test]
fn node_urls_stay_out_of_debug() {
    let chain = config(&json!({"rpc_urls": ["https://node.example/v3/secret-key"]})).unwrap();
    assert!(!format!("{chain:?}").contains("secret-key"));
    assert_eq!(chain.rpc_urls[0].expose(), "https://node.example/v3/secret-key");
}

#[test]
fn settings_out_of_range_are_named() {
    for (extra, name) in [
        (json!({"agreement": 2}), "`agreement`"),
        (json!({"rpc_connect_timeout_ms": 0}), "`rpc_connect_timeout_ms`"),
        (json!({"rpc_call_timeout_ms": 0}), "`rpc_call_timeout_ms`"),
        (json!({"rpc_response_bytes_max": 65_535}), "`rpc_response_bytes_max`"),
        (json!({"confirmations": 0}), "`confirmations`"),
        (json!({"block_age_max_seconds": 0}), "`block_age_max_seconds`"),
        (json!({"gas_limit_max": 20_999}), "`gas_limit_max`"),
        (json!({"base_fee_percent": 99}), "`base_fee_percent`"),
        (json!({"replacement_bump_permille": 124}), "`replacement_bump_permille`"),
        (json!({"priority_fee_min_wei": 20_000_000_001_u64}), "`priority_fee_min_wei`"),
        (json!({"fee_per_gas_max_wei": 1}), "`priority_fee_max_wei`"),
    ] {
        let error = ChainRegistry::new([config(&extra).unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("chain `eip155:31337`: {name}")), "{error}");
    }
}

#[test]
fn registry_finds_each_chain_once() {
    let (one, other) = (ChainConfig::new(id(1)), ChainConfig::new(id(10)));
    let registry = ChainRegistry::new([other.clone(), one.clone()]).unwrap();
    assert_eq!(registry.get(id(10)), Some(&other));
    assert_eq!(registry.get(id(2)), None);
    assert_eq!(registry.iter().collect::<Vec<_>>(), [&one, &other]);
    let twice = ChainRegistry::new([one.clone(), one]);
    assert_eq!(twice, Err(RegistryError::Duplicate(id(1))));
}

#[test]
fn clients_need_sound_urls() {
    assert!(config(&json!({})).unwrap().rpc_clients().unwrap().is_empty());
    let two = config(&json!({"rpc_urls": ["http://127.0.0.1:8545", "https://node.example/key"]}));
    assert_eq!(two.unwrap().rpc_clients().unwrap().len(), 2);
    let odd = config(&json!({"rpc_urls": ["http://127.0.0.1:8545", "ws://127.0.0.1:8546"]}));
    assert!(matches!(odd.unwrap().rpc_clients(), Err(RpcSetupError::Url)));
}

#[test]
fn no_more_nodes_can_agree_than_there_are() {
    let two = ["http://127.0.0.1:8545", "https://node.example/key"];
    for (urls, agreement, is_sound) in
        [(&two[..0], 1, true), (&two[..], 1, true), (&two[..], 2, true), (&two[..], 0, false)]
            .into_iter()
            .chain([(&two[..0], 0, false), (&two[..0], 2, false), (&two[..], 3, false)])
    {
        let chain = config(&json!({"rpc_urls": urls, "agreement": agreement})).unwrap();
        assert_eq!(ChainRegistry::new([chain]).is_ok(), is_sound, "{agreement} of {}", urls.len());
    }
}
