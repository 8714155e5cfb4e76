"""The settings: thresholds by chain and asset, and what is demanded from there on."""

import json
import re
from dataclasses import dataclass

NATIVE = "native"
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
CHAIN = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}")
NAME = re.compile(r"[a-z0-9_.-]{1,64}")
AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,36})?")
DECIMALS_MAX = 36
THRESHOLDS_MAX = 64
# What is demanded goes into the outcome's evidence, which has 32 places.
CLAIMS_MAX = 16
ROLES_MAX = 16
PROBLEMS_MAX = 16

SCHEMA = json.dumps(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "travel-rule-threshold settings",
        "type": "object",
        "additionalProperties": False,
        "required": ["thresholds"],
        "properties": {
            "thresholds": {
                "type": "array",
                "minItems": 1,
                "maxItems": THRESHOLDS_MAX,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["chain", "asset", "decimals", "amount"],
                    "properties": {
                        "chain": {"type": "string", "description": "CAIP-2 id, for example `eip155:1`."},
                        "asset": {
                            "type": "string",
                            "description": "`native`, or the address of a token contract in lower case.",
                        },
                        "decimals": {
                            "type": "integer",
                            "minimum": 0,
                            "maximum": DECIMALS_MAX,
                            "description": "Places of the asset's smallest unit; 18 for ether.",
                        },
                        "amount": {
                            "type": "string",
                            "pattern": f"^{AMOUNT.pattern}$",
                            "description": "Whole units as decimal text; a transfer of as much is at the threshold.",
                        },
                    },
                },
            },
            "requiredClaims": {
                "type": "array",
                "items": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                "maxItems": CLAIMS_MAX,
                "uniqueItems": True,
                "default": [],
                "description": "What the client must say at the threshold: `reference`, `description`, or a name in "
                "its further claims. Without it, the transfer is rejected. A transaction of the core family says "
                "`description` (its `note`) and nothing else.",
            },
            "approvals": {
                "type": "object",
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 100},
                "maxProperties": ROLES_MAX,
                "default": {},
                "description": "Roles that must approve at the threshold, and how many of each.",
            },
            "unreadable": {
                "enum": ["reject", "abstain"],
                "default": "reject",
                "description": "The verdict where it cannot be said what moves: a call that is no transfer or "
                "approval of a token, a token or chain without a threshold.",
            },
        },
        "examples": [
            {
                "thresholds": [{"chain": "eip155:1", "asset": NATIVE, "decimals": 18, "amount": "0.3"}],
                "requiredClaims": ["description"],
                "approvals": {"compliance": 1},
            }
        ],
    }
)


class Problems(Exception):
    """What is wrong with settings: pairs of a field and the rule that it breaks."""

    def __init__(self, found: list[tuple[str, str]]):
        super().__init__(found)
        self.found = found


@dataclass(frozen=True)
class Settings:
    """Thresholds in smallest units, by chain and asset."""

    thresholds: dict[tuple[str, str], int]
    required_claims: list[str]
    approvals: dict[str, int]
    unreadable: str

    @staticmethod
    def parse(text: str) -> "Settings":
        """Reads settings; raises `Problems`, each with its field."""
        return _Reader().settings(text)


class _Reader:
    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []

    def settings(self, text: str) -> Settings:
        document = self._document(text)
        self._only_known(document, ["thresholds", "requiredClaims", "approvals", "unreadable"], "")
        unreadable = document.get("unreadable", "reject")
        if unreadable not in ("reject", "abstain"):
            self._wrong("unreadable", "must be `reject` or `abstain`")
        settings = Settings(
            thresholds=self._thresholds(document.get("thresholds")),
            required_claims=self._required_claims(document.get("requiredClaims", [])),
            approvals=self._approvals(document.get("approvals", {})),
            unreadable=unreadable,
        )
        if not self.problems and not settings.required_claims and not settings.approvals:
            self._wrong("", "must demand something: `requiredClaims`, `approvals` or both")
        if self.problems:
            raise Problems(self.problems)
        return settings

    def _document(self, text: str) -> dict:
        try:
            document = json.loads(text, object_pairs_hook=_once)
        except _Repeated as repeated:
            raise Problems([(repeated.name, "must not be given twice")])
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Problems([("", "must be a JSON object")])
        return document

    def _thresholds(self, listed: object) -> dict[tuple[str, str], int]:
        if not isinstance(listed, list) or not 1 <= len(listed) <= THRESHOLDS_MAX:
            self._wrong("thresholds", f"must be a list of 1 to {THRESHOLDS_MAX} thresholds")
            return {}
        thresholds: dict[tuple[str, str], int] = {}
        for index, threshold in enumerate(listed):
            field = f"thresholds[{index}]"
            if not isinstance(threshold, dict):
                self._wrong(field, "must be an object")
                continue
            self._only_known(threshold, ["chain", "asset", "decimals", "amount"], f"{field}.")
            chain, asset = threshold.get("chain"), threshold.get("asset")
            if not _matches(CHAIN, chain):
                self._wrong(f"{field}.chain", "must be a CAIP-2 id, for example `eip155:1`")
            if asset != NATIVE and not _matches(ADDRESS, asset):
                self._wrong(f"{field}.asset", "must be `native`, or `0x` and 40 lower-case hexadecimal digits")
            amount = self._amount(threshold, field)
            # What is no text was told above, and may be nothing that a dictionary takes.
            if isinstance(chain, str) and isinstance(asset, str):
                if (chain, asset) in thresholds:
                    self._wrong(field, "must not repeat a chain and asset")
                thresholds[chain, asset] = amount
        return thresholds

    def _amount(self, threshold: dict, field: str) -> int:
        decimals, amount = threshold.get("decimals"), threshold.get("amount")
        if type(decimals) is not int or not 0 <= decimals <= DECIMALS_MAX:
            self._wrong(f"{field}.decimals", f"must be a whole number of at most {DECIMALS_MAX}")
            return 0
        if not _matches(AMOUNT, amount):
            self._wrong(f"{field}.amount", "must be whole units as decimal text, for example `1000.5`")
            return 0
        whole, _, fraction = amount.partition(".")
        if len(fraction) > decimals:
            self._wrong(f"{field}.amount", f"must have at most {decimals} places")
            return 0
        return int(whole + fraction.ljust(decimals, "0"))

    def _required_claims(self, names: object) -> list[str]:
        if not isinstance(names, list) or not all(_matches(NAME, name) for name in names):
            self._wrong("requiredClaims", "must be a list of names of 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`")
            return []
        if len(names) > CLAIMS_MAX or len(set(names)) != len(names):
            self._wrong("requiredClaims", f"must be a list of at most {CLAIMS_MAX} different names")
        return names

    def _approvals(self, counts: object) -> dict[str, int]:
        if not isinstance(counts, dict):
            self._wrong("approvals", "must be an object of roles and counts")
            return {}
        if len(counts) > ROLES_MAX:
            self._wrong("approvals", f"must have at most {ROLES_MAX} roles")
        for role, count in counts.items():
            if not _matches(NAME, role):
                self._wrong(f"approvals.{role}", "must be named by 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`")
            if type(count) is not int or not 1 <= count <= 100:
                self._wrong(f"approvals.{role}", "must be a whole number from 1 to 100")
        return counts

    def _only_known(self, fields: dict, known: list[str], prefix: str) -> None:
        for name in fields:
            if name not in known:
                self._wrong(f"{prefix}{name}", f"is unknown; there are {', '.join(known)}")

    def _wrong(self, field: str, rule: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((field, rule))


class _Repeated(Exception):
    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


def _once(pairs: list[tuple[str, object]]) -> dict:
    """An object in which no name stands twice: people would read one value, and the last would rule."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise _Repeated(name)
        fields[name] = value
    return fields


def _matches(pattern: re.Pattern, text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None
