use super::*;

#[test]
fn manual_is_as_the_contract_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/MANUAL.md");
    let stored = std::fs::read_to_string(path).unwrap();
    assert_eq!(stored, text().unwrap(), "run `target/release/countersign plugin manual > wit/MANUAL.md`");
}

#[test]
fn everything_in_the_contract_is_explained() {
    let resolve = contract().unwrap();
    let mut silent = Vec::new();
    let mut ask = |what: String, docs: &Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            silent.push(what);
        }
    };
    for (_, interface) in &resolve.interfaces {
        let place = interface.name.clone().unwrap_or_default();
        ask(place.clone(), &interface.docs);
        for function in interface.functions.values() {
            ask(format!("{place}.{}", function.name), &function.docs);
        }
        for (name, id) in &interface.types {
            let TypeDef { kind, docs, .. } = &resolve.types[*id];
            if matches!(kind, TypeDefKind::Type(Type::Id(_))) {
                continue;
            }
            ask(format!("{place}.{name}"), docs);
            let members: Vec<(&String, &Docs)> = match kind {
                TypeDefKind::Record(record) => {
                    record.fields.iter().map(|one| (&one.name, &one.docs)).collect()
                }
                TypeDefKind::Variant(variant) => {
                    variant.cases.iter().map(|one| (&one.name, &one.docs)).collect()
                }
                TypeDefKind::Enum(cases) => cases.cases.iter().map(|one| (&one.name, &one.docs)).collect(),
                _ => Vec::new(),
            };
            for (member, docs) in members {
                ask(format!("{place}.{name}.{member}"), docs);
            }
        }
    }
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}
