use super::*;

const TO: &str = "0x00000000000000000000000000000000000000bb";

fn told() -> VerifiedTransaction {
    VerifiedTransaction {
        provider: "hsm".to_owned(),
        chain: "eip155:1".to_owned(),
        kind: "contract-call".to_owned(),
        sender: "0x00000000000000000000000000000000000000aa".to_owned(),
        recipient: Some(TO.to_owned()),
        value: "0".to_owned(),
        data: vec![0xa9, 0x05, 0x9c, 0xbb, 1],
        call: Some(Call {
            selector: "0xa9059cbb".to_owned(),
            function: None,
            arguments: vec![Argument {
                name: "to".to_owned(),
                abi_type: "address".to_owned(),
                value: TO.to_owned(),
            }],
        }),
        approvals: vec![Approval { evidence_level: "signed".to_owned(), ..Approval::default() }],
        ..VerifiedTransaction::default()
    }
}

/// How a transaction is changed so that it is one that no gateway tells of, and what is said of it.
type Untold = (fn(&mut VerifiedTransaction), &'static str);

#[test]
fn what_no_gateway_tells_is_named_with_what_it_would() {
    assert_eq!(require_told_so(&told()), Ok(()));
    let untold: [Untold; 12] = [
        (
            |it| it.chain = "eip155:01".to_owned(),
            "`chain` is `eip155:01`; a gateway tells `eip155:` and a number",
        ),
        (
            |it| it.provider = "HSM".to_owned(),
            "`provider` is `HSM`; a gateway tells one of hsm, fireblocks, privy, none",
        ),
        (
            |it| it.kind = "transfer".to_owned(),
            "`kind` is `transfer`; a gateway tells `contract-call` with this recipient and data",
        ),
        (
            |it| it.recipient = None,
            "`kind` is `contract-call`; a gateway tells `contract-creation` with this recipient and data",
        ),
        (
            |it| it.recipient = Some(TO.to_ascii_uppercase().replace("0X", "0x")),
            "`recipient` is `0x00000000000000000000000000000000000000BB`; a gateway tells an address",
        ),
        (|it| it.sender = "0xaa".to_owned(), "`sender` is `0xaa`; a gateway tells an address"),
        (|it| it.value = "0x5".to_owned(), "`value` is `0x5`; a gateway tells a whole number"),
        (
            |it| it.ceilings.total_fee = Some("1.5".to_owned()),
            "`ceilings.total_fee` is `1.5`; a gateway tells a whole number",
        ),
        (|it| it.call = None, "`call` is of the selector `0xa9059cbb` with this data"),
        (|it| it.data.truncate(3), "`call` is absent with this data"),
        (
            |it| it.call.as_mut().unwrap().arguments[0].value = "bb".to_owned(),
            "`call.arguments` is `bb`; a gateway tells an address",
        ),
        (
            |it| it.approvals[0].evidence_level = "strong".to_owned(),
            "`approvals` is `strong`; a gateway tells one of bearer, request, signed",
        ),
    ];
    for (change, said) in untold {
        let mut transaction = told();
        change(&mut transaction);
        let why = require_told_so(&transaction).unwrap_err();
        assert!(why.starts_with(said), "{why}");
    }
}
