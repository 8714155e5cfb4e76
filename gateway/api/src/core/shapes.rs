//! The scalar values of the family as its document describes them: shapes of text, and closed vocabularies, which are
//! the very tables that readers and answers use.

use gateway_domain::{
    chain::CHAIN_ID_MAX,
    credentials::Scope,
    fireblocks::{Environment as FireblocksEnvironment, Region as FireblocksRegion, VendorStatus},
    registrations::RegistrationState,
    transactions::CoreStatus,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{Object, Schema, Type},
    },
};

use crate::core::{internal, quorums, settings};

/// Text of one shape, each a schema of its own name.
macro_rules! texts {
    ($($name:ident: $about:literal, $pattern:literal, $length_max:expr;)+) => {$(
        #[doc = $about]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let object = Object::builder().schema_type(Type::String).description(Some($about));
                object.pattern(Some($pattern)).max_length(Some($length_max)).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

texts! {
    Address: "An address in any letter case; answers have EIP-55's.", "^0x[0-9a-fA-F]{40}$", 42;
    Hash: "32 bytes; answers have lower case.", "^0x[0-9a-fA-F]{64}$", 66;
    WalletSignature: "65 bytes as of a key, or up to 4096 of a wallet that is a contract (ERC-1271).",
        "^0x[0-9a-fA-F]{130}([0-9a-fA-F]{2})*$", 8_194;
    CallData: "At most 128 KiB.", "^0x([0-9a-fA-F]{2})*$", 262_146;
    ShortBytes: "At most 1 KiB; answers begin with 0x.", "^(0x)?([0-9a-fA-F]{2})*$", 2_050;
    Wei: "An amount in wei, in decimal digits, below 2^256.", "^(0|[1-9][0-9]{0,77})$", 78;
    Count: "Decimal digits of a number below 2^64.", "^(0|[1-9][0-9]{0,19})$", 20;
    RequestNonce: "The formula's word: decimal digits of a number below 2^256.", "^(0|[1-9][0-9]{0,77})$", 78;
    MemberKey: "SPKI of a P-256 key in PEM.", r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$", 1_024;
    Fingerprint: "Of an OpenPGP key of version 4.", "^[0-9A-F]{40}$", 40;
}

/// The number of a chain in the `eip155` namespace.
pub(crate) struct ChainId;

impl PartialSchema for ChainId {
    fn schema() -> RefOr<Schema> {
        let number = Object::builder().schema_type(Type::Integer);
        number.minimum(Some(1_u64)).maximum(Some(CHAIN_ID_MAX)).into()
    }
}

impl ToSchema for ChainId {}

/// One word of a closed set, each set a schema of its own name.
macro_rules! vocabularies {
    ($($name:ident: $about:literal, $words:expr;)+) => {$(
        #[doc = $about]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let object = Object::builder().schema_type(Type::String).description(Some($about));
                object.enum_values(Some($words)).into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

vocabularies! {
    TransactionStatus: "REJECTED, EXECUTED and FAILED are final.", CoreStatus::ALL.map(CoreStatus::as_str);
    PayloadType: "Whether the gateway was sent the content itself.", ["encrypted", "trusted"];
    ExecutionProvider: "Who executes. `none`: somebody else, who reports.", words(&settings::PROVIDERS);
    WalletApprovalType: "What wallets cast.", ["user"];
    ApprovalType: "Agents and arbiters are recorded as `admin`.", ["user", "admin", "orion"];
    VendorRole: "What the vendor's account is for.", words(&quorums::TYPES);
    QuorumType: "Whose quorum it is.", ["execution", "agent", "arbiter"];
    IntegrationStatus: "How far the integration is.", ["csr_generated", "active", "invalid"];
    Environment: "Fireblocks' environment.", FireblocksEnvironment::ALL.map(FireblocksEnvironment::as_str);
    Region: "Fireblocks' region.", FireblocksRegion::ALL.map(FireblocksRegion::as_str);
    FireblocksStatus: "Fireblocks' transaction status.", fireblocks_statuses();
    RegistrationStatus: "Whether the key is on record on chain. A record that failed is made anew when the same key is \
        registered again.", RegistrationState::NAMES;
    TeeType: "The kind of trusted execution environment.", words(&internal::TEE_TYPES);
    SettlementStatus: "How the execution ended, if it did.", words(&internal::SETTLEMENT_STATUSES);
    TokenType: "As in RFC 6750.", ["Bearer"];
    UserApiKeyLabel: "Keys that users make have this one.", ["user"];
    UserApiKeyScope: "What keys of users may do.", USER_SCOPES.map(Scope::as_str);
}

const USER_SCOPES: [Scope; 3] =
    [Scope::CreateOwnTransactions, Scope::ApproveOwnTransactions, Scope::ReadOwnTransactions];

fn words<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
}

fn fireblocks_statuses() -> Vec<&'static str> {
    let documented = VendorStatus::ALL.iter();
    documented.chain([&VendorStatus::Unknown]).map(|status| status.as_str()).collect()
}
