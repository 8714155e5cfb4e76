//! Standings: numbers that move whenever anybody or anything may have lost authority, in an organization as a whole or
//! over one user's transactions.

use gateway_domain::{
    Error, Result,
    changes::AuthorityScope,
    ids::{OrganizationId, PrincipalId},
};

use crate::{fields::Fields, reader::Reader, statement::Statement};

const REVISION: &str = "SELECT s.revision + u.revision AS revision FROM standings s, user_standings u \
     WHERE s.organization = $1 AND u.organization = $1 AND u.principal = $2";

/// Relative, so that two who take authority away do not contend. It makes the row if somebody removed it: a
/// revocation does not fail for that.
const ADVANCE: &str = "INSERT INTO standings (organization, revision) VALUES ($1, 1) \
     ON CONFLICT (organization) DO UPDATE SET revision = standings.revision + 1";

const ADVANCE_USER: &str = "INSERT INTO user_standings (organization, principal, revision) VALUES ($1, $2, 1) \
     ON CONFLICT (organization, principal) DO UPDATE SET revision = user_standings.revision + 1";

pub(crate) fn advance(scope: AuthorityScope) -> Statement {
    match scope {
        AuthorityScope::Deployment => Statement::new("UPDATE standings SET revision = revision + 1"),
        AuthorityScope::Organization(organization) => Statement::new(ADVANCE).shown(organization),
        AuthorityScope::User(organization, user) => {
            Statement::new(ADVANCE_USER).shown(organization).shown(user)
        }
    }
}

/// Of the transactions of `owner`.
pub(crate) async fn revision(
    reads: &Reader,
    organization: OrganizationId,
    owner: PrincipalId,
) -> Result<u64> {
    let statement = Statement::new(REVISION).shown(organization).shown(owner);
    reads
        .recalled(&statement.key(), async {
            let row = reads.row(statement.clone()).await?;
            let row = row.ok_or_else(|| Error::inconsistency("the transaction's owner has no standing"))?;
            Ok(Fields::new("standings", &row).unsigned("revision")?)
        })
        .await
}
