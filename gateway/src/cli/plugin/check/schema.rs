//! The settings schema, as far as it can be judged without evaluating it: the shape that JSON Schema 2020-12 gives its
//! keywords. Whether settings are right is the plugin's to say.

use serde_json::{Map, Value};

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "integer", "string"];
/// Keywords whose value is a schema, a map of schemas, or a list of them.
const SCHEMA: [&str; 9] = [
    "additionalProperties",
    "propertyNames",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedProperties",
];
const SCHEMAS_BY_NAME: [&str; 4] = ["properties", "patternProperties", "$defs", "dependentSchemas"];
const SCHEMAS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const COUNTS: [&str; 6] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
/// A schema that is nested deeper is read by nobody.
const DEPTH_MAX: usize = 32;

/// A schema and what is wrong with it.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) faults: Vec<String>,
    pub(super) examples: Vec<Value>,
    says_anything: bool,
}

impl Schema {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let schema = match serde_json::from_str(text) {
            Ok(Value::Object(schema)) => schema,
            Ok(_) => return Err("it must be a JSON object, such as `{}`".to_owned()),
            Err(error) => return Err(format!("it is not JSON: {error}")),
        };
        let examples = schema.get("examples").and_then(Value::as_array).cloned().unwrap_or_default();
        let says_anything = !schema.is_empty();
        let mut faults = Vec::new();
        inspect(&schema, "", DEPTH_MAX, &mut faults);
        Ok(Self { faults, examples, says_anything })
    }

    /// What would make it more useful to operators.
    pub(super) fn remark(&self) -> Option<String> {
        let remark = "the settings schema has no `examples`: one would show operators where to begin";
        (self.says_anything && self.examples.is_empty()).then(|| remark.to_owned())
    }
}

fn inspect(schema: &Map<String, Value>, place: &str, depth: usize, faults: &mut Vec<String>) {
    for (keyword, value) in schema {
        let path = format!("{place}/{keyword}");
        if let Some(rule) = broken_rule(keyword, value) {
            faults.push(format!("`{}` {rule}", plugin_host::plain(&path, 200)));
            continue;
        }
        if depth == 0 {
            faults.push(format!("`{}` is nested too deeply", plugin_host::plain(&path, 200)));
            return;
        }
        let keyword = keyword.as_str();
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(_) if SCHEMA.contains(&keyword) => vec![(path, value)],
            Value::Object(named) if SCHEMAS_BY_NAME.contains(&keyword) => {
                named.iter().map(|(name, value)| (format!("{path}/{name}"), value)).collect()
            }
            Value::Array(listed) if SCHEMAS.contains(&keyword) => {
                listed.iter().enumerate().map(|(index, value)| (format!("{path}/{index}"), value)).collect()
            }
            _ => Vec::new(),
        };
        for (path, value) in inner {
            match value {
                Value::Object(schema) => inspect(schema, &path, depth - 1, faults),
                Value::Bool(_) => {}
                _ => faults.push(format!(
                    "`{}` must be a schema: an object, true or false",
                    plugin_host::plain(&path, 200)
                )),
            }
        }
    }
}

/// The rule of a keyword's own value that it breaks.
fn broken_rule(keyword: &str, value: &Value) -> Option<&'static str> {
    let is_strings = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let (holds, rule) = match keyword {
        "type" => (
            is_type(value)
                || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_type)),
            "must be a type, or a list of types: null, boolean, object, array, number, integer, string",
        ),
        "required" => (is_strings(value), "must be a list of names"),
        "enum" | "examples" => (value.is_array(), "must be a list"),
        "$schema" | "$id" | "$ref" | "title" | "description" | "pattern" | "format" => {
            (value.is_string(), "must be text")
        }
        name if COUNTS.contains(&name) => (value.is_u64(), "must be a whole number"),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            (value.is_number(), "must be a number")
        }
        "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => {
            (value.is_boolean(), "must be true or false")
        }
        name if SCHEMA.contains(&name) => {
            (value.is_object() || value.is_boolean(), "must be a schema: an object, true or false")
        }
        name if SCHEMAS_BY_NAME.contains(&name) => (value.is_object(), "must be an object of schemas"),
        name if SCHEMAS.contains(&name) => {
            (value.as_array().is_some_and(|list| !list.is_empty()), "must be a list of schemas")
        }
        _ => (true, ""),
    };
    (!holds).then_some(rule)
}

#[cfg(test)]
mod tests;
