//! Reading an object's members by name, collecting every fault instead of stopping at the first.

use gateway_domain::Error;

use crate::{
    extract::{Json, json::shown},
    failure::Failure,
};

/// A wire type that can be read from an object's members.
pub(crate) trait Wire: Sized {
    /// `None` when a required member is missing or faulty, which `fields` has noted.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// The members that have not been read yet, and what was wrong with those that have.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Vec<(String, Json)>,
    known: Vec<&'static str>,
    faults: Vec<String>,
}

impl Fields {
    pub(crate) fn of(json: Json) -> Result<Self, Failure> {
        match json {
            Json::Object(members) => Ok(Self { members, known: Vec::new(), faults: Vec::new() }),
            other => Err(Failure::Malformed(format!("body must be an object, not {}", other.kind()))),
        }
    }

    /// A member that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Json) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(name) {
            self.known.push(name);
            self.faults.push(format!("{name} is required"));
            return None;
        }
        self.optional(name, read)
    }

    /// A member that may be absent. `null` is a value, and not an acceptable one.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Json) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let position = self.members.iter().position(|(member, _)| member == name)?;
        let (_, value) = self.members.swap_remove(position);
        match read(&value) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.faults.push(format!("{name} {rule}"));
                None
            }
        }
    }

    /// Notes a fault that concerns several members.
    pub(crate) fn fault(&mut self, rule: impl Into<String>) {
        self.faults.push(rule.into());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    /// The value, if nothing was wrong and nothing is left over.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Failure> {
        self.members.sort_by(|one, other| one.0.cmp(&other.0));
        let unknown = self.members.iter().map(|(name, _)| format!("{} is not a known field", shown(name)));
        self.faults.extend(unknown);
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            Some(_) | None => Err(Failure::Domain(Error::Invalid(self.faults))),
        }
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> &[&'static str] {
        &self.known
    }

    #[cfg(test)]
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }
}
