use serde_json::Value;

use super::{
    controls::FreezeDto,
    document,
    dry_runs::DryRunDto,
    plugins::UploadDto,
    proposals::{DigestDto, ProposeDto},
    rollbacks::RollbackDto,
};
use crate::extract::{Fields, Json, Wire};

/// The examples of a request are acceptable to its reader.
#[track_caller]
fn check_examples<T: Wire>(name: &str, count: usize) {
    let document = serde_json::to_value(document()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let bodies = operations.map(|operation| &operation["requestBody"]["content"]["application/json"]);
    let is_named = |content: &&Value| {
        content["schema"]["$ref"].as_str().is_some_and(|schema| schema.rsplit('/').next() == Some(name))
    };
    let content = bodies.into_iter().find(is_named).unwrap();
    let examples = content["examples"].as_object().unwrap();
    assert_eq!(examples.len(), count);
    for (example, value) in examples {
        let json = Json::read(value["value"].to_string().as_bytes(), 16).unwrap();
        let mut fields = Fields::of(json).unwrap();
        let read = T::read(&mut fields);
        if let Err(failure) = fields.finish(read) {
            panic!("{name} {example}: {failure:?}");
        }
    }
}

#[test]
fn wire_types_read_the_examples_of_the_document() {
    check_examples::<DigestDto>("DigestDto", 1);
    check_examples::<DryRunDto>("DryRunDto", 1);
    check_examples::<FreezeDto>("FreezeDto", 3);
    check_examples::<RollbackDto>("RollbackDto", 1);
    check_examples::<UploadDto>("UploadDto", 1);
    // One for each kind of change, and another of the charter.
    check_examples::<ProposeDto>("ProposeDto", 8);
}
