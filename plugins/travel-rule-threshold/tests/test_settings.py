import json
import unittest

from travel_rule_threshold.settings import SCHEMA, Problems, Settings

TOKEN = "0x00000000000000000000000000000000000000dd"


def fields(document: object) -> list[str]:
    try:
        Settings.parse(json.dumps(document))
    except Problems as problems:
        return [field for field, _ in problems.found]
    return []


def document(threshold=None, **changes) -> dict:
    ordinary = {"chain": "eip155:1", "asset": "native", "decimals": 18, "amount": "0.3"}
    return {"thresholds": [{**ordinary, **(threshold or {})}], "requiredClaims": ["description"], **changes}


class Reading(unittest.TestCase):
    def test_the_examples_of_the_schema_are_accepted(self):
        for example in json.loads(SCHEMA)["examples"]:
            self.assertEqual(fields(example), [])

    def test_thresholds_are_exact(self):
        parsed = Settings.parse(json.dumps(document({"amount": "123456789012345678901.000000000000000001"})))
        self.assertEqual(parsed.thresholds["eip155:1", "native"], 123456789012345678901000000000000000001)

    def test_each_field_that_is_wrong_is_named(self):
        wrong = [
            ([], [""]),
            ({}, ["thresholds"]),
            (document(thresholds=[]), ["thresholds"]),
            (document(thresholds=[7]), ["thresholds[0]"]),
            (document({"chain": "ethereum"}), ["thresholds[0].chain"]),
            (document({"chain": ["eip155:1"], "asset": {}}), ["thresholds[0].chain", "thresholds[0].asset"]),
            (document({"asset": "0xAB"}), ["thresholds[0].asset"]),
            (document({"asset": TOKEN + "\n"}), ["thresholds[0].asset"]),
            (document({"decimals": True}), ["thresholds[0].decimals"]),
            (document({"decimals": 37}), ["thresholds[0].decimals"]),
            (document({"amount": 0.3}), ["thresholds[0].amount"]),
            (document({"amount": "-1"}), ["thresholds[0].amount"]),
            (document({"amount": "1e3"}), ["thresholds[0].amount"]),
            (document({"decimals": 2, "amount": "0.001"}), ["thresholds[0].amount"]),
            (document({"limit": 1}), ["thresholds[0].limit"]),
            (document(requiredClaims=["A"]), ["requiredClaims"]),
            (document(requiredClaims=[]), [""]),
            (document(requiredClaims=["a", "a"]), ["requiredClaims"]),
            (document(requiredClaims=[f"claim{number}" for number in range(17)]), ["requiredClaims"]),
            (document(approvals={f"role{number}": 1 for number in range(17)}), ["approvals"]),
            (document(approvals={"compliance": 0}), ["approvals.compliance"]),
            (document(approvals=[]), ["approvals"]),
            (document(unreadable="approve"), ["unreadable"]),
            (document(treshold=1), ["treshold"]),
        ]
        for settings, expected in wrong:
            with self.subTest(settings=settings):
                self.assertEqual(fields(settings), expected)

    def test_a_chain_and_asset_have_one_threshold(self):
        threshold = document()["thresholds"][0]
        self.assertEqual(fields(document(thresholds=[threshold, threshold])), ["thresholds[1]"])

    def test_what_is_no_json_is_told_in_our_words(self):
        for text in ["{", "", "[" * 100_000]:
            with self.assertRaises(Problems) as raised:
                Settings.parse(text)
            self.assertEqual(raised.exception.found, [("", "must be a JSON object")])

    def test_a_field_that_is_given_twice_is_named(self):
        with self.assertRaises(Problems) as raised:
            Settings.parse('{"thresholds": [], "thresholds": [{"chain": "eip155:1", "chain": "eip155:2"}]}')
        self.assertEqual(raised.exception.found, [("chain", "must not be given twice")])
