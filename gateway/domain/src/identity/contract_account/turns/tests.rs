use std::time::Duration;

use uuid::Uuid;

use super::*;

fn asking(organization: u128, account: u8, source: u8) -> Asking {
    Asking {
        organization: OrganizationId::from_uuid(Uuid::from_u128(organization)),
        account: Address::repeat_byte(account),
        chain: ChainId::eip155(1).unwrap(),
        source: Some([203, 0, 113, source].into()),
    }
}

/// Whoever asks from many sources about many accounts of one organization leaves places to the others.
#[test]
fn an_organization_has_so_many_places_and_no_more() {
    let limits = ContractAccountLimits {
        agreement: 2,
        call_gas_max: 1,
        answer_timeout: Duration::from_secs(1),
        block_age_max: Duration::from_secs(1),
        signature_bytes_max: 65,
        questions_max: 4,
        questions_per_organization_max: 2,
        questions_per_account_max: 1,
        questions_per_source_max: 1,
    };
    let turns = Turns::default();
    let held = [1, 2].map(|number| turns.take(asking(1, number, number), &limits).unwrap());
    let rule = "too many questions of this organization are under way";
    assert_eq!(turns.take(asking(1, 3, 3), &limits).err(), Some(rule));
    let other = turns.take(asking(2, 4, 4), &limits).unwrap();
    drop(held);
    let again = turns.take(asking(1, 3, 3), &limits).unwrap();
    drop((other, again));
    let left = turns.locked();
    assert!(
        left.all == 0 && left.organizations.is_empty() && left.accounts.is_empty() && left.sources.is_empty()
    );
}
