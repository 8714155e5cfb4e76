use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    approvals::CreateApprovalDto,
    authorization::{Callers, SignatureRule, TokenRule, rules},
    document,
    fireblocks::{CompleteIntegrationDto, CreateFireblocksTransactionDto, GenerateCsrDto},
    internal::{UpdateSettlementDto, UpdateTeeProofDto},
    quorums::{CreateQuorumDto, RegisterPrivyQuorumDto, UpdatePrivyQuorumDto},
    registration::RegisterKeysDto,
    sessions::{GenerateNonceDto, RefreshTokenDto, VerifySiweDto},
    settings::UpdateSettingsDto,
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

/// The contract's list of operations.
const ENDPOINTS: &str = include_str!("../../tests/endpoints.tsv");

#[test]
fn the_authorization_table_is_the_contracts() {
    let mut contract = BTreeSet::new();
    for line in ENDPOINTS.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, method, path, operation, auth, ..] = columns[..] else { panic!("too few columns: {line}") };
        let ways: BTreeSet<&str> = auth.split(" | ").filter(|way| !way.starts_with("none")).collect();
        contract.insert((method.to_owned(), path.to_owned(), operation.to_owned(), ways));
    }
    let table = rules().map(|rule| {
        let ways = match rule.callers {
            Callers::Everybody | Callers::Strangers => BTreeSet::new(),
            // Or the internal token, which the contract's column for permissions names.
            Callers::Internal => BTreeSet::from(["api-key"]),
            Callers::Credentials { keys, signatures, tokens } => {
                let keys = keys.map(|_| "api-key");
                let signs = matches!(signatures, SignatureRule::Request | SignatureRule::RequestOrApproval);
                let tokens = (tokens == TokenRule::Own).then_some("jwt");
                keys.into_iter().chain(signs.then_some("eth-signature")).chain(tokens).collect()
            }
        };
        (rule.method.to_string(), rule.path.to_owned(), rule.operation.to_owned(), ways)
    });
    assert_eq!(table.collect::<BTreeSet<_>>(), contract);
}

/// Every body that the document describes: where it stands, and what it says about it.
fn bodies(document: &Value) -> Vec<(String, &Value)> {
    let mut bodies = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let request = operation["requestBody"]["content"].as_object().into_iter().flatten();
            bodies.extend(request.map(|(_, content)| (format!("{method} {path}"), content)));
            for (status, response) in operation["responses"].as_object().unwrap() {
                let contents = response["content"].as_object().into_iter().flatten();
                bodies.extend(contents.map(|(_, content)| (format!("{method} {path} {status}"), content)));
            }
        }
    }
    bodies
}

#[test]
fn every_body_has_an_example() {
    let document = serde_json::to_value(document()).unwrap();
    for (place, content) in bodies(&document) {
        let several = content["examples"].as_object().is_some_and(|examples| !examples.is_empty());
        assert!(content.get("example").is_some() || several, "{place} has no example");
    }
}

#[test]
fn links_lead_to_operations_that_take_what_they_bring() {
    let document = serde_json::to_value(document()).unwrap();
    let operations: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    let mut links = 0;
    let responses =
        operations.iter().flat_map(|operation| operation["responses"].as_object().unwrap().values());
    for link in responses.flat_map(|response| response["links"].as_object().into_iter().flatten()) {
        let (name, link) = link;
        let next = operations.iter().find(|operation| operation["operationId"] == link["operationId"]);
        let next = next.unwrap_or_else(|| panic!("{name} leads nowhere"));
        for parameter in link["parameters"].as_object().into_iter().flatten() {
            let taken = next["parameters"].as_array().unwrap().iter();
            assert!(
                taken.map(|one| &one["name"]).any(|one| one == parameter.0),
                "{name} does not take {parameter:?}"
            );
        }
        links += 1;
    }
    assert_eq!(links, 23);
}

#[test]
fn nothing_is_described_as_nullable() {
    let document = serde_json::to_string(&document()).unwrap();
    assert!(!document.contains("\"null\""));
}

/// The examples of a request are acceptable to its reader.
#[track_caller]
fn check_examples<T: Wire>(name: &str) {
    let document = serde_json::to_value(document()).unwrap();
    let mut read = 0;
    for (place, content) in bodies(&document) {
        let schema = content["schema"]["$ref"].as_str().unwrap_or_default();
        let named = match (schema.rsplit('/').next().unwrap(), name) {
            ("CreateTransactionDto", "CreateEncryptedTransactionDto") => {
                &content["examples"]["encrypted"]["value"]
            }
            ("CreateTransactionDto", "CreateTrustedTransactionDto") => {
                &content["examples"]["trusted"]["value"]
            }
            (schema, name) if schema == name => &content["example"],
            _ => continue,
        };
        let json = Json::read(named.to_string().as_bytes(), 8).unwrap();
        let mut fields = Fields::of(json).unwrap();
        let value = T::read(&mut fields);
        assert!(fields.finish(value).is_ok(), "{place}: {named}");
        read += 1;
    }
    assert!(read > 0, "{name} has no example");
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
    check_examples::<T>(name);
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
    // Nothing is required of these, so reading nothing succeeds.
    check_examples::<GenerateNonceDto>("GenerateNonceDto");
    check_examples::<UpdateSettingsDto>("UpdateSettingsDto");
}
