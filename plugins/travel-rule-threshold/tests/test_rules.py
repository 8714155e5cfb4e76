import json
import unittest
from types import SimpleNamespace

from travel_rule_threshold.rules import judge
from travel_rule_threshold.settings import Settings

RECIPIENT = "0x00000000000000000000000000000000000000bb"
TOKEN = "0x00000000000000000000000000000000000000dd"
ETHER = 10**18


def settings(**changes) -> Settings:
    document = {
        "thresholds": [
            {"chain": "eip155:1", "asset": "native", "decimals": 18, "amount": "0.3"},
            {"chain": "eip155:1", "asset": TOKEN, "decimals": 6, "amount": "1000"},
        ],
        "requiredClaims": ["description", "beneficiary"],
        "approvals": {"compliance": 1},
    }
    return Settings.parse(json.dumps({**document, **changes}))


def coin(value: int, **changes) -> SimpleNamespace:
    fields = {"chain": "eip155:1", "recipient": RECIPIENT, "value": str(value), "data": b"", "call": None}
    return SimpleNamespace(**{**fields, **changes})


def call(function: str | None, *values: str, **changes) -> SimpleNamespace:
    decoded = SimpleNamespace(function=function, arguments=[SimpleNamespace(value=value) for value in values])
    return coin(changes.pop("value", 0), **{"recipient": TOKEN, "data": bytes(68), "call": decoded, **changes})


def claims(description="invoice 7", beneficiary="Alice") -> SimpleNamespace:
    return SimpleNamespace(reference=None, description=description, extra=[("beneficiary", beneficiary)])


NOTHING = SimpleNamespace(reference=None, description=None, extra=[])


class Rules(unittest.TestCase):
    def assert_found(self, finding, verdict: str, code: str) -> None:
        self.assertEqual((finding.verdict, finding.code), (verdict, code), finding.analysis)

    def test_below_the_threshold_nothing_is_demanded(self):
        for moved in [coin(0), coin(ETHER * 3 // 10 - 1), call("transfer(address,uint256)", RECIPIENT, "999999999")]:
            self.assert_found(judge(settings(), moved, NOTHING), "approve", "below_threshold")

    def test_at_the_threshold_silence_is_rejected(self):
        for moved in [coin(ETHER * 3 // 10), call("transfer(address,uint256)", RECIPIENT, "1000000000")]:
            finding = judge(settings(), moved, NOTHING)
            self.assert_found(finding, "reject", "claims_missing")
            self.assertIn("description, beneficiary", finding.analysis)

    def test_a_claim_of_white_space_says_nothing(self):
        self.assert_found(judge(settings(), coin(ETHER), claims(beneficiary=" \t")), "reject", "claims_missing")

    def test_at_the_threshold_named_roles_must_approve(self):
        finding = judge(settings(), coin(ETHER), claims())
        self.assert_found(finding, "need-approvals", "approvals_needed")
        self.assertEqual(finding.approvals, {"compliance": 1})
        self.assertIn(("claimed-beneficiary", "Alice"), finding.evidence)

    def test_without_roles_claims_are_enough(self):
        self.assert_found(judge(settings(approvals={}), coin(ETHER), claims()), "approve", "claims_present")

    def test_approvals_of_a_token_count_like_transfers(self):
        for function in ["approve(address,uint256)", "increaseAllowance(address,uint256)"]:
            finding = judge(settings(), call(function, RECIPIENT, str(2**256 - 1)), NOTHING)
            self.assert_found(finding, "reject", "claims_missing")

    def test_the_amount_of_a_transfer_from_others_is_its_third_argument(self):
        moved = call("transferFrom(address,address,uint256)", TOKEN, RECIPIENT, "1000000000")
        self.assert_found(judge(settings(), moved, NOTHING), "reject", "claims_missing")

    def test_coin_that_goes_along_with_a_call_counts(self):
        moved = call("transfer(address,uint256)", RECIPIENT, "1", value=ETHER)
        self.assert_found(judge(settings(), moved, NOTHING), "reject", "claims_missing")

    def test_what_cannot_be_read_is_rejected_or_left_to_others(self):
        unreadable = [
            coin(0, recipient=None, data=b"\0"),
            coin(0, data=b"\0"),
            call(None),
            call("setApprovalForAll(address,bool)", RECIPIENT, "true"),
        ]
        for moved in unreadable:
            self.assert_found(judge(settings(), moved, claims()), "reject", "unreadable")
            self.assert_found(judge(settings(unreadable="abstain"), moved, claims()), "abstain", "unreadable")

    def test_an_asset_without_threshold_is_not_waved_through(self):
        for moved in [coin(1, chain="eip155:10"), call("transfer(address,uint256)", RECIPIENT, "1", recipient=RECIPIENT)]:
            self.assert_found(judge(settings(), moved, claims()), "reject", "no_threshold")

    def test_a_reached_threshold_outweighs_what_cannot_be_read(self):
        unreadable = [
            coin(ETHER, data=b"\0"),
            coin(ETHER, recipient=None, data=b"\0"),
            call(None, value=ETHER),
            call("setApprovalForAll(address,bool)", RECIPIENT, "true", value=ETHER),
        ]
        for moved in unreadable:
            for choice in ["reject", "abstain"]:
                finding = judge(settings(unreadable=choice), moved, NOTHING)
                self.assert_found(finding, "reject", "claims_missing")
            said = judge(settings(unreadable="abstain"), moved, claims())
            self.assert_found(said, "need-approvals", "approvals_needed")
            self.assert_found(judge(settings(), moved, claims()), "reject", "unreadable")

    def test_a_reached_threshold_outweighs_an_asset_without_one(self):
        of_token = {"chain": "eip155:1", "asset": TOKEN, "decimals": 6, "amount": "1000"}
        only_the_token = settings(thresholds=[of_token], unreadable="abstain")
        moved = call("transfer(address,uint256)", RECIPIENT, "1000000000", value=1)
        self.assert_found(judge(only_the_token, moved, NOTHING), "reject", "claims_missing")
        below = call("transfer(address,uint256)", RECIPIENT, "1", value=1)
        self.assert_found(judge(only_the_token, below, NOTHING), "abstain", "no_threshold")
