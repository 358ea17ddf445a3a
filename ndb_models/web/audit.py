"""Judge the settings of web sessions by the requirements of OWASP and NIST. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted
from ndb_models.web.audit_rules import RULES
from ndb_models.web.audited import Aal, AuditedSettings, Finding, Verdict

RULE_NAMES: Final = tuple(rule.name for rule in RULES)
"""The names of the rules, in the order of their findings."""


def audit(settings: AuditedSettings, *, aal: Aal = 1, accept: Collection[str] = ()) -> list[Finding]:
    """Judge settings by each requirement that depends on them.

    Args:
        settings: of one middleware, and the application around it.
        aal: the level of NIST SP 800-63B that sets the lifetimes.
        accept: names of rules that may be broken, for documented reasons: their findings say `accepted`.

    Raises:
        InvalidArgumentError: there is no such level or rule.
    """
    if aal not in (1, 2, 3):
        raise InvalidArgumentError("aal= is 1, 2 or 3: a level of NIST SP 800-63B")
    unknown = sorted(set(accept) - set(RULE_NAMES))
    if unknown:
        raise InvalidArgumentError(f"there is no rule {quoted(unknown[0])}; there are {', '.join(RULE_NAMES)}")
    findings: list[Finding] = []
    for rule in RULES:
        judged = rule.judge(settings, aal)
        if judged is None:
            continue
        is_accepted = judged.verdict is Verdict.BROKEN and rule.name in accept
        verdict = Verdict.ACCEPTED if is_accepted else judged.verdict
        findings.append(Finding(rule.name, verdict, rule.requirements, judged.value, judged.advice))
    return findings
