//! What may be absent is never null here, neither in requests, whose reader refuses null, nor in answers. Derived
//! schemas describe every `Option` as nullable.

use utoipa::openapi::{
    OpenApi, RefOr,
    schema::{ArrayItems, Schema, SchemaType, Type},
};

pub(crate) fn never_null(document: &mut OpenApi) {
    if let Some(components) = &mut document.components {
        components.schemas.values_mut().for_each(correct);
    }
    for operation in super::operations(document) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                parameter.schema.iter_mut().for_each(correct);
            }
        }
    }
}

fn correct(schema: &mut RefOr<Schema>) {
    let RefOr::T(described) = schema else { return };
    match described {
        Schema::Object(object) => {
            object.schema_type = without_null(&object.schema_type);
            object.properties.values_mut().for_each(correct);
        }
        Schema::Array(array) => {
            array.schema_type = without_null(&array.schema_type);
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                correct(items);
            }
        }
        Schema::AllOf(all) => all.items.iter_mut().for_each(correct),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(correct),
        Schema::OneOf(one) => {
            one.items.retain(|item| !is_null(item));
            one.items.iter_mut().for_each(correct);
            if let [RefOr::Ref(only)] = one.items.as_mut_slice() {
                only.description = one.description.take().unwrap_or_default();
                *schema = RefOr::Ref(only.clone());
            }
        }
        _ => {}
    }
}

fn without_null(types: &SchemaType) -> SchemaType {
    let SchemaType::Array(several) = types else { return types.clone() };
    let left: Vec<Type> = several.iter().filter(|kind| **kind != Type::Null).cloned().collect();
    match left.as_slice() {
        [only] => SchemaType::Type(only.clone()),
        _ => SchemaType::Array(left),
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}
