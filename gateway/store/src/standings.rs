//! The standing of organizations: a number that moves whenever anybody or anything may have lost authority.

use gateway_domain::{Error, Result, ids::OrganizationId, operators::DEPLOYMENT};

use crate::{fields::Fields, reader::Reader, statement::Statement};

const REVISION: &str = "SELECT revision FROM standings WHERE organization = $1";

/// Relative, so that two who take authority away do not contend. It makes the row if somebody removed it: a
/// revocation does not fail for that.
const ADVANCE: &str = "INSERT INTO standings (organization, revision) VALUES ($1, 1) \
     ON CONFLICT (organization) DO UPDATE SET revision = standings.revision + 1";

/// Of one organization, or of all for [`DEPLOYMENT`].
pub(crate) fn advance(organization: OrganizationId) -> Statement {
    if organization == DEPLOYMENT {
        return Statement::new("UPDATE standings SET revision = revision + 1");
    }
    Statement::new(ADVANCE).shown(organization)
}

pub(crate) async fn revision(reads: &Reader, organization: OrganizationId) -> Result<u64> {
    let statement = Statement::new(REVISION).shown(organization);
    reads
        .recalled(&statement.key(), async {
            let row = reads.row(statement.clone()).await?;
            let row = row.ok_or_else(|| Error::inconsistency("the organization has no standing"))?;
            Ok(Fields::new("standings", &row).unsigned("revision")?)
        })
        .await
}
