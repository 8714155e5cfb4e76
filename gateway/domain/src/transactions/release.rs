//! What somebody else executes: approving it is releasing it.

use crate::{
    changes::{UserCondition, Write},
    error::{Error, Result},
    policy::Decision,
    ports::Services,
    signing::is_frozen,
    transactions::{Provider, Transaction},
};

/// No permit comes after the approval of what nobody here signs: what a permit would look at again, the approval rests on.
pub(crate) fn release_condition(transaction: &Transaction, decision: &Decision) -> Option<Write> {
    let Decision::Approved(approved) = decision else { return None };
    let authority = UserCondition::Authority {
        policy_revision: approved.policy_revision(),
        standing_revision: approved.standing_revision(),
    };
    let owner = (transaction.organization, transaction.owner);
    (transaction.provider == Provider::None).then_some(Write::RequireUser(owner, authority))
}

/// Says why [`release_condition`] will not hold for a while, where it will not.
pub(crate) async fn require_thawed(services: &Services, transaction: &Transaction) -> Result<()> {
    if is_frozen(services, transaction).await? {
        return Err(Error::Conflict(
            "the organization is frozen: what others execute is not approved until that is lifted",
        ));
    }
    Ok(())
}
