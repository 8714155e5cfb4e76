//! The OpenAPI document against the contract's rows, and the pages that show it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api::openapi::{Family, openapi};
use serde_json::Value;

use crate::world::World;

/// The contract's list of operations, its own words: one row each, after a row of names.
const ENDPOINTS: &str = include_str!("../endpoints.tsv");

/// Apply to every operation, whatever its row says.
const EVERYWHERE: [u16; 6] = [400, 414, 429, 431, 500, 503];
/// Of operations that receive a body.
const RECEIVING: [u16; 3] = [408, 413, 415];
/// A key without the scope, where the row takes keys.
const WITHOUT_SCOPE: u16 = 403;
/// Said by the contract's text and not by the row.
const BY_TEXT_OF: &[(&str, u16)] = &[("update_settings", 409)];

struct Row {
    method: &'static str,
    path: &'static str,
    operation: &'static str,
    /// How callers authenticate.
    auth: BTreeSet<&'static str>,
    permission: &'static str,
    request: &'static str,
    success: u16,
    answer: &'static str,
    errors: BTreeSet<u16>,
}

fn rows() -> Vec<Row> {
    ENDPOINTS.lines().skip(1).map(Row::read).collect()
}

impl Row {
    fn read(line: &'static str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, method, path, operation, auth, permission, request, success, answer, errors, ..] =
            columns[..]
        else {
            panic!("a row has too few columns: {line}")
        };
        let words = auth.split(" | ").filter(|way| !way.starts_with("none"));
        let numbers = errors.split(|character: char| !character.is_ascii_digit());
        let errors = numbers.filter_map(|number| number.parse().ok()).collect();
        let (auth, success) = (words.collect(), success.parse().unwrap());
        Self { method, path, operation, auth, permission, request, success, answer, errors }
    }
}

fn document() -> Value {
    serde_json::from_str(&openapi(Family::Core)).unwrap()
}

/// Operations by method and path.
fn described() -> BTreeMap<(String, String), Value> {
    let mut described = BTreeMap::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    described
}

/// Checks something of every operation that the contract lists.
#[track_caller]
fn check_each(check: impl Fn(&Row, &Value)) {
    let described = described();
    for row in rows() {
        check(&row, &described[&(row.method.to_owned(), row.path.to_owned())]);
    }
}

#[test]
fn operations_are_those_of_the_contract() {
    let listed = rows().into_iter().map(|row| (row.method.to_owned(), row.path.to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), described().into_keys().collect());
    check_each(|row, operation| assert_eq!(operation["operationId"], row.operation));
}

#[test]
fn statuses_are_those_of_the_contract() {
    check_each(|row, operation| {
        let keys = operation["responses"].as_object().unwrap().keys();
        let statuses: BTreeSet<u16> = keys.map(|status| status.parse().unwrap()).collect();
        let least: BTreeSet<u16> = row.errors.iter().copied().chain([row.success]).collect();
        let name = row.operation;
        assert!(least.is_subset(&statuses), "{name} does not describe all of {least:?}");
        let surplus = statuses.difference(&least).copied().filter(|status| {
            let by_scope = *status == WITHOUT_SCOPE && row.auth.contains("api-key");
            let everywhere = EVERYWHERE.iter().chain(&RECEIVING).any(|one| one == status);
            !everywhere && !by_scope && !BY_TEXT_OF.contains(&(name, *status))
        });
        assert_eq!(
            surplus.collect::<Vec<_>>(),
            Vec::<u16>::new(),
            "{name} has statuses that the contract does not have"
        );
    });
}

#[test]
fn callers_authenticate_as_the_contract_says() {
    check_each(|row, operation| {
        let schemes =
            operation["security"].as_array().unwrap().iter().flat_map(|way| way.as_object().unwrap());
        let schemes: BTreeSet<&str> = schemes.map(|(scheme, _)| scheme.as_str()).collect();
        let methods = schemes.iter().filter_map(|scheme| match *scheme {
            "apiKey" => Some("api-key"),
            "accessToken" => Some("jwt"),
            "internalToken" => None,
            header if header.starts_with("ethereum") => Some("eth-signature"),
            other => panic!("{other} is not in the contract"),
        });
        assert_eq!(methods.collect::<BTreeSet<_>>(), row.auth, "{}", row.operation);
        let takes_token = schemes.contains("internalToken");
        assert_eq!(takes_token, row.permission.contains("internal token"), "{}", row.operation);
    });
}

/// A schema as the contract writes it.
fn named(schema: &Value) -> String {
    match schema["items"].as_object() {
        Some(_) => format!("{}[]", named(&schema["items"])),
        None => schema["$ref"].as_str().unwrap_or("-").replace("#/components/schemas/", ""),
    }
}

#[test]
fn bodies_are_those_of_the_contract() {
    check_each(|row, operation| {
        let request = named(&operation["requestBody"]["content"]["application/json"]["schema"]);
        // The contract names both forms; the document has a name for the choice.
        let expected = if request == "CreateTransactionDto" {
            "CreateEncryptedTransactionDto | CreateTrustedTransactionDto"
        } else {
            &request
        };
        assert_eq!(row.request, expected, "{}", row.operation);
        let answer =
            &operation["responses"][row.success.to_string()]["content"]["application/json"]["schema"];
        assert_eq!(row.answer, named(answer), "{}", row.operation);
    });
}

#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_snapshot!("openapi_core", openapi(Family::Core));
    insta::assert_snapshot!("openapi_operator", openapi(Family::Operator));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_its_page_are_open_and_self_contained() {
    let world = World::new().await;
    let served = world.get("/openapi/core.json").send().await;
    assert_eq!(served.text, openapi(Family::Core));
    assert!(document()["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = world.get("/docs").send().await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    for Row { method, path, .. } in rows() {
        assert!(page.text.contains(&format!("{method} {path}")), "{method} {path} is not on the page");
    }
    assert!(!page.text.contains("http:") && !page.text.contains("https:") && !page.text.contains("<script"));
}
