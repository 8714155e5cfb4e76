//! Transactions.

mod create;
mod hearing;
mod list;
mod view;

#[cfg(test)]
pub(crate) use create::CreateTrustedTransactionDto;
pub(crate) use create::{__path_create_transaction, create_transaction, make, requirements};
pub(crate) use hearing::Hearing;
pub(crate) use list::{__path_get_user_transactions, get_user_transactions};
pub(crate) use view::{
    ApiKeyApproval, TransactionApproval, TransactionResponse, VoteView, execution_number, role_words,
    status_word,
};
