"""Travel-rule-threshold demands of a transfer at or above a threshold that the client says who is behind it, and that
named roles approve it. Each transaction is judged by itself: amounts that were split are velocity's to find. What
moves is read from what the host decoded; what the client claims makes nothing laxer than the settings allow."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import settings, types

from travel_rule_threshold.rules import CERTAIN, Finding, judge
from travel_rule_threshold.settings import SCHEMA, Problems, Settings


class Policy(exports.Policy):
    def describe(self) -> types.Description:
        return types.Description(
            name="travel-rule-threshold",
            version="0.1.0",
            summary="Demands what the travel rule demands of transfers at or above a threshold.",
            settings_schema=SCHEMA,
        )

    def validate_settings(self, settings: str) -> None:
        try:
            Settings.parse(settings)
        except Problems as problems:
            raise Err([types.SettingsProblem(field, rule) for field, rule in problems.found])

    def evaluate(self, verified: types.Verified, claimed: types.Claimed) -> types.Outcome:
        try:
            current = Settings.parse(settings.get())
        except Problems as problems:
            field, rule = problems.found[0]
            raise Err(f"bad settings: `{field}` {rule}")
        return outcome(judge(current, verified, claimed))


def outcome(finding: Finding) -> types.Outcome:
    return types.Outcome(
        verdict=verdict(finding),
        reason_code=finding.code,
        analysis=finding.analysis,
        confidence_ppm=CERTAIN,
        evidence=finding.evidence,
    )


def verdict(finding: Finding) -> types.Verdict:
    if finding.approvals:
        needed = [types.ApprovalsNeeded(role, count) for role, count in finding.approvals.items()]
        return types.Verdict_NeedApprovals(needed)
    words = {
        "approve": types.Verdict_Approve,
        "reject": types.Verdict_Reject,
        "abstain": types.Verdict_Abstain,
    }
    return words[finding.verdict]()
