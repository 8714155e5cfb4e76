//! Capabilities: what a plugin may reach besides its arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One capability interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    Log,
    Settings,
    State,
    Clock,
    History,
    Http,
    Chain,
}

impl Capability {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 7] =
        [Self::Log, Self::Settings, Self::State, Self::Clock, Self::History, Self::Http, Self::Chain];

    /// The interface's name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Settings => "settings",
            Self::State => "state",
            Self::Clock => "clock",
            Self::History => "history",
            Self::Http => "http",
            Self::Chain => "chain",
        }
    }

    /// The capability of an interface name, if it is one.
    pub fn from_interface(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of capabilities. The default holds none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Capability>", into = "Vec<Capability>")]
pub struct Grants(u8);

impl Grants {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Whether the set holds `capability`.
    pub const fn allows(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// What this set holds and `granted` does not.
    pub fn missing_from(self, granted: Self) -> impl Iterator<Item = Capability> {
        self.iter().filter(move |capability| !granted.allows(*capability))
    }

    /// The capabilities held, in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.allows(*capability))
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, capability| bits | capability.bit()))
    }
}

impl From<Vec<Capability>> for Grants {
    fn from(capabilities: Vec<Capability>) -> Self {
        capabilities.into_iter().collect()
    }
}

impl From<Grants> for Vec<Capability> {
    fn from(grants: Grants) -> Self {
        grants.iter().collect()
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}
