use std::collections::BTreeSet;

use super::{
    approvals::CreateApprovalDto,
    authorization::rules,
    document,
    fireblocks::{CompleteIntegrationDto, CreateFireblocksTransactionDto, GenerateCsrDto},
    internal::{UpdateSettlementDto, UpdateTeeProofDto},
    quorums::{CreateQuorumDto, RegisterPrivyQuorumDto, UpdatePrivyQuorumDto},
    registration::RegisterKeysDto,
    sessions::{RefreshTokenDto, VerifySiweDto},
    transactions::{CreateEncryptedTransactionDto, CreateTrustedTransactionDto},
    user_api_keys::CreateUserApiKeyDto,
    users::CreateUserDto,
};
use crate::extract::{Fields, Json, Wire};

#[test]
fn every_mounted_route_is_in_the_authorization_table_and_the_other_way_round() {
    let mut mounted = BTreeSet::new();
    for (path, item) in &document().paths.paths {
        let methods = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("PATCH", &item.patch)];
        let methods = methods.into_iter().chain([("DELETE", &item.delete)]);
        mounted.extend(
            methods.filter(|(_, one)| one.is_some()).map(|(method, _)| (method.to_owned(), path.clone())),
        );
    }
    let listed: Vec<_> = rules().map(|rule| (rule.method.to_string(), rule.path.to_owned())).collect();
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), mounted);
    assert_eq!(listed.len(), mounted.len(), "a route has two rows");
}

/// The fields that are read are those that are described, with the same ones required.
#[track_caller]
fn check_described<T: Wire>(name: &str) {
    let document = serde_json::to_value(document()).unwrap();
    let schema = &document["components"]["schemas"][name];
    let described: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let mut fields = Fields::of(Json::Object(Vec::new())).unwrap();
    assert!(T::read(&mut fields).is_none());
    assert_eq!(fields.known().iter().map(ToString::to_string).collect::<BTreeSet<_>>(), described);
    let required = schema["required"].as_array().unwrap().iter();
    let required: BTreeSet<String> =
        required.map(|name| format!("{} is required", name.as_str().unwrap())).collect();
    assert_eq!(fields.faults().iter().cloned().collect::<BTreeSet<_>>(), required);
}

#[test]
fn wire_types_read_what_the_document_describes() {
    check_described::<CreateUserDto>("CreateUserDto");
    check_described::<CreateTrustedTransactionDto>("CreateTrustedTransactionDto");
    check_described::<CreateEncryptedTransactionDto>("CreateEncryptedTransactionDto");
    check_described::<RegisterKeysDto>("RegisterKeysDto");
    check_described::<UpdateTeeProofDto>("UpdateTeeProofDto");
    check_described::<UpdateSettlementDto>("UpdateSettlementDto");
    check_described::<CreateApprovalDto>("CreateApprovalDto");
    check_described::<CreateUserApiKeyDto>("CreateUserApiKeyDto");
    check_described::<VerifySiweDto>("VerifySiweDto");
    check_described::<RefreshTokenDto>("RefreshTokenDto");
    check_described::<GenerateCsrDto>("GenerateCsrDto");
    check_described::<CompleteIntegrationDto>("CompleteIntegrationDto");
    check_described::<CreateFireblocksTransactionDto>("CreateFireblocksTransactionDto");
    check_described::<UpdatePrivyQuorumDto>("UpdatePrivyQuorumDto");
    check_described::<RegisterPrivyQuorumDto>("RegisterPrivyQuorumDto");
    check_described::<CreateQuorumDto>("CreateQuorumDto");
}
