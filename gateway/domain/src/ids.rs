//! Typed identifiers. All are UUIDs; the type keeps a key from being passed where a transaction is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::{clock::Timestamp, entropy::Entropy};

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// A new identifier that sorts by time of creation (RFC 9562, version 7).
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(time_ordered(now, entropy))
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

identifiers! {
    /// A tenant.
    OrganizationId = "org";
    /// A person or service that can act. A core user's id is its principal's id.
    PrincipalId = "pr";
    /// A credential owned by a principal.
    CredentialId = "cr";
    /// A login of a wallet's owner.
    SessionId = "se";
    /// Keys of an organization under one name.
    VaultId = "vlt";
    /// A record of an HSM key.
    KeyId = "key";
    /// A request that a key sign something.
    TransactionId = "tx";
    /// What one binding said about one intent.
    EvaluationId = "ev";
    /// What one principal said about one intent.
    VoteId = "vt";
    /// The stored fact that a digest may be signed.
    PermitId = "pm";
    /// One try at executing a transaction: nonce, fees, bytes, signature.
    AttemptId = "at";
    /// A place in a policy where a plugin or built-in rule is attached.
    BindingId = "bd";
    /// A component, its settings and its grants, immutable.
    PluginRevisionId = "pl";
    /// An OpenPGP key that a user registered.
    RegistrationId = "rg";
    /// One call of the registry contract.
    RelayId = "ry";
    /// Work to be done outside the database.
    OutboxId = "ob";
    /// A user's access to a Fireblocks workspace.
    IntegrationId = "fi";
    /// A stored reference to a Privy key quorum.
    QuorumId = "pq";
    /// One value-moving request to a vendor.
    VendorCallId = "vc";
    /// A person who may change what can be signed.
    OperatorId = "opr";
    /// A change that waits for operators to approve it.
    ProposalId = "pp";
    /// A running gateway process; also the name of its audit lane.
    InstanceId = "gw";
}

fn time_ordered(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    Builder::from_unix_timestamp_millis(now.unix_millis(), &random).into_uuid()
}
