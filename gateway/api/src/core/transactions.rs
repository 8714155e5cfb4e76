//! Transactions.

mod create;
mod encrypted;
mod hearing;
mod list;
mod view;

#[cfg(test)]
pub(crate) use create::CreateTrustedTransactionDto;
pub(crate) use create::{__path_create_transaction, Asked, create_transaction, make};
#[cfg(test)]
pub(crate) use encrypted::CreateEncryptedTransactionDto;
pub(crate) use hearing::Hearing;
pub(crate) use list::{__path_get_user_transactions, get_user_transactions};
pub(crate) use view::{
    ApiKeyApproval, OrionMetadataResponse, TransactionApproval, TransactionResponse, VoteView,
    execution_number, role_words, status_word,
};
