"""The rules. What moves comes from `verified`; `claimed` only answers what the settings demand to be said."""

from dataclasses import dataclass, field
from typing import Any

from travel_rule_threshold.settings import NATIVE, Settings

CERTAIN = 1_000_000


@dataclass
class Finding:
    """A verdict and its grounds; with `approvals`, the verdict is that they are needed."""

    verdict: str
    code: str
    analysis: str
    evidence: list[tuple[str, str]]
    approvals: dict[str, int] = field(default_factory=dict)


@dataclass
class Movement:
    """What a transaction moves, or lets somebody else move."""

    asset: str
    amount: int


def judge(settings: Settings, verified: Any, claimed: Any) -> Finding:
    """The finding on a transaction as the contract's records describe it. A threshold that is reached outweighs
    whatever else about the transaction cannot be read or has no threshold."""
    evidence = [("chain", verified.chain)]
    movements, unreadable = movements_of(verified)
    reached, without = [], []
    for movement in movements:
        threshold = settings.thresholds.get((verified.chain, movement.asset))
        if threshold is None:
            without.append(movement.asset)
            continue
        evidence += [("asset", movement.asset), ("amount", str(movement.amount)), ("threshold", str(threshold))]
        if movement.amount >= threshold:
            reached.append(f"{movement.amount} base units of {movement.asset} reach the threshold of {threshold}")
    if reached:
        return demand(settings, claimed, " and ".join(reached), evidence, unreadable)
    if unreadable is not None:
        return Finding(settings.unreadable, "unreadable", unreadable, evidence)
    if without:
        analysis = f"There is no threshold for {' and '.join(without)} on {verified.chain}."
        return Finding(settings.unreadable, "no_threshold", analysis, evidence)
    return Finding("approve", "below_threshold", "What moves is below its threshold.", evidence)


def demand(
    settings: Settings, claimed: Any, reached: str, evidence: list[tuple[str, str]], unreadable: str | None
) -> Finding:
    """The finding where a threshold is reached. Nobody is asked to approve what would be rejected anyway."""
    missing = [name for name in settings.required_claims if not claim(claimed, name).strip()]
    if missing:
        analysis = f"{reached}, and the client does not say: {', '.join(missing)}."
        return Finding("reject", "claims_missing", analysis, evidence)
    if unreadable is not None and settings.unreadable == "reject":
        return Finding("reject", "unreadable", f"{reached}, and more may: {unreadable}", evidence)
    said = [(f"claimed-{name}", claim(claimed, name)) for name in settings.required_claims]
    if not settings.approvals:
        return Finding("approve", "claims_present", f"{reached}; the client says what it must.", evidence + said)
    people = " and ".join(f"{count} of {role}" for role, count in settings.approvals.items())
    analysis = f"{reached}: {people} must approve."
    return Finding("need-approvals", "approvals_needed", analysis, evidence + said, settings.approvals)


def claim(claimed: Any, name: str) -> str:
    """What the client says under a name; empty where it says nothing."""
    if name in ("reference", "description"):
        return getattr(claimed, name) or ""
    return dict(claimed.extra).get(name, "")


def movements_of(verified: Any) -> tuple[list[Movement], str | None]:
    """Everything that moves, or why that cannot be said."""
    value = int(verified.value)
    coin = [Movement(NATIVE, value)] if value > 0 else []
    if verified.recipient is None:
        return coin, "The transaction creates a contract."
    if not verified.data:
        return coin or [Movement(NATIVE, 0)], None
    call = verified.call
    if call is None or call.function is None:
        return coin, f"The call to {verified.recipient} cannot be read."
    # An approval lets somebody move as much at any later time, and nothing here would see it.
    places = {
        "transfer(address,uint256)": 1,
        "transferFrom(address,address,uint256)": 2,
        "approve(address,uint256)": 1,
        "increaseAllowance(address,uint256)": 1,
    }
    place = places.get(call.function)
    if place is None:
        return coin, f"{call.function} of {verified.recipient} is no transfer."
    return [*coin, Movement(verified.recipient, int(call.arguments[place].value))], None
