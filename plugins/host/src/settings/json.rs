//! Reads JSON for nothing but its faults.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::SettingsFault;

const NAME_CHARACTERS_MAX: usize = 64;

pub(super) fn fault(text: &str) -> Option<SettingsFault> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Once { twice: &twice }.deserialize(&mut reader).and_then(|()| reader.end());
    let error = read.err()?.to_string();
    Some(match twice.into_inner() {
        Some(name) => SettingsFault::KeyTwice(name),
        // Who ignores a value sees its grammar alone.
        None if serde_json::from_str::<IgnoredAny>(text).is_ok() => SettingsFault::NotForAll(error),
        None => SettingsFault::NotJson(error),
    })
}

/// Takes any value in which no object names a key twice, and notes the key where one does.
#[derive(Clone, Copy)]
struct Once<'a> {
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                let shown: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
                *self.twice.borrow_mut() = Some(shown.escape_debug().to_string());
                return Err(A::Error::custom("a key is given twice"));
            }
            members.next_value_seed(self)?;
        }
        Ok(())
    }
}
