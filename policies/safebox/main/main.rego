# METADATA
# title: The one answer
# description: Collects what the domains say. Any deny beats any hold, any hold beats any allow, and no allow is a deny.
package safebox.main

import data.data.limits
import data.data.tools

# METADATA
# title: Decision
# description: The only entrypoint. Exactly these three keys, always.
# entrypoint: true
default decision := {
	"verdict": "deny",
	"reasons": [{"code": "main.no_rule_allows", "message": "No rule allows this action."}],
	"obligations": {},
}

decision := {"verdict": "deny", "reasons": [reason | some reason in _denials], "obligations": _retry} if {
	count(_denials) > 0
} else := {"verdict": "hold", "reasons": [reason | some reason in _holds], "obligations": {}} if {
	_allowed
	count(_holds) > 0
} else := {"verdict": "allow", "reasons": [], "obligations": {}} if {
	_allowed
}

# METADATA
# title: The mandate has ended
# description: Nothing but giving things back happens after the mandate's end.
# custom:
#   code: main.expired
#   threat: mandate
#   severity: medium
#   remedy: Start a new run under a mandate that has not ended.
deny contains {"code": "main.expired", "message": "The mandate of this run has ended."} if {
	not _in_time
}

# METADATA
# title: The caller may not use this tool
# description: Each known tool names who may ask for it. Funding and sweeping are for the firewall alone.
# custom:
#   code: main.caller
#   threat: impersonation
#   severity: high
#   remedy: Nothing to change; this tool is not for agents.
deny contains {"code": "main.caller", "message": "This caller may not use this tool."} if {
	tools[input.action.tool]
	not _caller_may
}

# A deny for its rate alone is a limit: asking later may pass. So is a freeze, which is no fault of the run's.
default _retry := {}

_retry := {"retry_after_s": limits.rate.retry_after_s} if {
	every reason in _denials {
		_passes(reason.code)
	}
}

_passes(code) if startswith(code, "rate.")

_passes(code) if code == "transfer.frozen"

_in_time if input.facts.expired == false

_in_time if {
	tools[input.action.tool].after_expiry == true
	_known
}

_caller_may if input.action.caller in tools[input.action.tool].callers

# A tool counts as known only with the kind and the effects the table gives it.
_known if {
	tool := tools[input.action.tool]
	input.action.kind == tool.kind
	input.action.effects == tool.effects
}

_allowed if {
	_known
	_caller_may
	count(_allows) > 0
}

# The kinds each domain judges. A kind that stands nowhere here gets no yes from anybody.
_kinds := {
	"email": {"email", "email_read"},
	"transfer": {"transfer", "wallet_read", "funding"},
	"compute": {"compute", "compute_read", "compute_stop"},
	"inference": {"inference"},
}

# Whole paths, no imports of packages, and the kind first: the embedded engine then evaluates only what is concerned.
_allows contains name if {
	input.action.kind in _kinds.email
	some name in data.safebox.email.allow
}

_allows contains name if {
	input.action.kind in _kinds.transfer
	some name in data.safebox.transfer.allow
}

_allows contains name if {
	input.action.kind in _kinds.compute
	some name in data.safebox.compute.allow
}

_allows contains name if {
	input.action.kind in _kinds.inference
	some name in data.safebox.inference.allow
}

_allows contains name if some name in data.safebox.site[input.action.kind].allow

_denials contains reason if some reason in deny

_denials contains reason if {
	input.action.kind in _kinds.email
	some reason in data.safebox.email.deny
}

_denials contains reason if {
	input.action.kind in _kinds.transfer
	some reason in data.safebox.transfer.deny
}

_denials contains reason if {
	input.action.kind in _kinds.compute
	some reason in data.safebox.compute.deny
}

_denials contains reason if {
	input.action.kind in _kinds.inference
	some reason in data.safebox.inference.deny
}

_denials contains reason if some reason in data.safebox.rate.deny

_denials contains reason if some reason in data.safebox.replication.deny

_denials contains reason if some reason in data.safebox.accumulation.deny

# Site rules are filed under the kind they are about, or under "all"; see the folder's README.
_denials contains reason if some reason in data.safebox.site[input.action.kind].deny

_denials contains reason if some reason in data.safebox.site.all.deny

_holds contains reason if some reason in data.safebox.site[input.action.kind].hold

_holds contains reason if some reason in data.safebox.site.all.hold
