"""What people who write policies need: checking, testing, and the list of reason codes."""

from safebox.firewall.policytools.codes import ReasonCode, codes_table, reason_codes
from safebox.firewall.policytools.review import Finding, check
from safebox.firewall.policytools.run import Coverage, TestReport, TestResult, run_tests

__all__ = [
    "Coverage",
    "Finding",
    "ReasonCode",
    "TestReport",
    "TestResult",
    "check",
    "codes_table",
    "reason_codes",
    "run_tests",
]
