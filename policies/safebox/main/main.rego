# METADATA
# title: The one answer
# description: Collects what the domains say. Any deny beats any hold, any hold beats any allow, and no allow is a deny.
package safebox.main

import data.data.behaviour
import data.data.holds
import data.data.limits
import data.data.modes
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

# The plain yes first: modes are looked up only where some rule has said something.
decision := {"verdict": "allow", "reasons": [], "obligations": {}} if {
	count(_objections) == 0
	count(_requests) == 0
	_allowed
} else := {
	"verdict": "deny",
	"reasons": [reason | some reason in _denials],
	"obligations": object.union_n([_retry, _told, _orders]),
} if {
	count(_denials) > 0
} else := {"verdict": "allow", "reasons": [], "obligations": _told} if {
	_allowed
	_nothing_waits
} else := {
	"verdict": "hold",
	"reasons": [reason | some reason in _holds],
	"obligations": object.union(_hold_obligations, _told),
} if {
	_allowed
} else := {
	"verdict": "deny",
	"reasons": [{"code": "main.no_rule_allows", "message": "No rule allows this action."}],
	"obligations": _told,
} if {
	count(_monitored) > 0
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

# METADATA
# title: Holds of different groups
# description: One hold is decided by one group. Where rules ask different ones, nobody could approve for all.
# custom:
#   code: main.hold_groups
#   threat: mandate
#   severity: medium
#   remedy: Give the rules that apply one group, in the mandate and in data/holds.
deny contains {"code": "main.hold_groups", "message": "Different groups would have to approve this."} if {
	not _one_group
}

# METADATA
# title: Always enforced
# description: Codes that begin so block in every mode. They are the ground the other rules stand on, or a brake.
always_enforced := {"main.", "shape.", "freeze.", "transfer.frozen", "approval.frozen", "call.frozen", "payment.frozen"}

# What is only monitored is told beside the verdict, whatever that is, and blocks nothing.
default _told := {}

_told := {"monitored": [reason | some reason in _monitored]} if count(_monitored) > 0

_denials contains reason if {
	some reason in _objections
	not _is_monitored(reason)
}

_holds contains reason if {
	some reason in _requests
	not _is_monitored(reason)
}

_monitored contains reason if {
	some reason in _objections
	_is_monitored(reason)
}

_monitored contains reason if {
	some reason in _requests
	_is_monitored(reason)
}

_is_monitored(reason) if {
	modes.codes[reason.code] == "monitor"
	not _always_enforced(reason)
}

_always_enforced(reason) if strings.any_prefix_match(reason.code, always_enforced)

# What is to be done about the run that asked, by the codes of the no.
default _orders := {}

_orders := {"respond": [order | some order in _ordered]} if count(_ordered) > 0

_ordered contains {"do": what, "code": reason.code} if {
	some reason in _denials
	some what in behaviour.responses[reason.code]
	what != "throttle"
}

_ordered contains {"do": "throttle", "code": reason.code, "seconds": behaviour.throttle_s} if {
	some reason in _denials
	"throttle" in behaviour.responses[reason.code]
}

# A deny for its rate, its hour or a freeze alone is a limit: asking later may pass, and asking was no fault.
default _retry := {}

_retry := {"retry_after_s": limits.rate.retry_after_s} if {
	every reason in _denials {
		_passes(reason.code)
	}
}

_passes(code) if strings.any_prefix_match(code, {"rate.", "hours.", "freeze."})

_passes(code) if code in {"transfer.frozen", "approval.frozen", "call.frozen"}

_passes(code) if code == "behaviour.throttled"

# Nothing holds it, or what holds it has passed in a way that is enough for everything that holds it now.
_nothing_waits if count(_holds) == 0

_nothing_waits if _passed

# The strictest of all terms: people before silence, most people, the longest window. What isn't known is no terms, and
# a hold without terms is denied by the firewall.
default _hold_obligations := {}

_hold_obligations := {"hold": {
	"group": _group,
	"approvals": max([terms.approvals | some terms in _by_people]),
	"expires_s": min([terms.expires_s | some terms in _by_people]),
}} if {
	_all_terms_known
	count(_by_people) > 0
} else := {"hold": {
	"group": _group,
	"challenge_s": _window,
	"expires_s": min([terms.expires_s | some terms in _by_silence; terms.challenge_s == _window]),
}} if {
	_all_terms_known
}

_passed if {
	_approval_known
	input.facts.approval.group == _hold_obligations.hold.group
	count(input.facts.approval.approved_by) >= _needed
}

_passed if {
	input.facts.approval.challenge_passed == true
	input.facts.approval.group == _hold_obligations.hold.group
	_approval_known
	is_number(input.facts.approval.waited_s)
	is_number(_hold_obligations.hold.challenge_s)
	input.facts.approval.waited_s >= _hold_obligations.hold.challenge_s
}

_approval_known if {
	is_string(input.facts.approval.hold)
	is_array(input.facts.approval.approved_by)
	every name in input.facts.approval.approved_by {
		is_string(name)
	}
	is_boolean(input.facts.approval.challenge_passed)
	is_number(input.facts.approval.waited_s)
}

# A person may end a challenge window early.
_needed := _hold_obligations.hold.approvals

_needed := 1 if _hold_obligations.hold.challenge_s

_terms := [terms | some reason in _holds; terms := _terms_of(reason.code)]

_by_people := [terms | some terms in _terms; _usable(terms); is_number(terms.approvals)]

_by_silence := [terms | some terms in _terms; _usable(terms); is_number(terms.challenge_s)]

_usable(terms) if {
	is_string(terms.group)
	is_number(terms.expires_s)
}

_all_terms_known if count(_by_people) + count(_by_silence) == count(_holds)

_window := max([terms.challenge_s | some terms in _by_silence])

_groups := {terms.group | some terms in _terms}

_group := group if {
	count(_groups) == 1
	some group in _groups
}

_one_group if count(_groups) < 2

# What a rule of the pack says itself, or what data says of the code, or the strict default.
_terms_of(code) := terms if {
	terms := data.safebox.transfer.hold_terms[code]
} else := terms if {
	terms := data.safebox.call.hold_terms[code]
} else := terms if {
	terms := holds.codes[code]
} else := terms if {
	terms := holds["default"]
}

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

# What is only looked at is no behaviour; this keeps reading cheap.
_more_than_a_look if not _only_a_look

_only_a_look if input.action.effects == ["read"]

_allowed if {
	_known
	_caller_may
	count(_allows) > 0
}

# The domain that judges each kind. A kind that stands nowhere here gets no yes from anybody.
_domains := {
	"email": "email",
	"email_read": "email",
	"transfer": "transfer",
	"wallet_read": "transfer",
	"funding": "transfer",
	"compute": "compute",
	"compute_read": "compute",
	"compute_stop": "compute",
	"inference": "inference",
	"launch": "launch",
	"token_approval": "approval",
	"signature": "approval",
	"contract_call": "call",
	"payment": "payment",
	"web": "web",
	"mcp": "mcp",
	"spawn": "lineage",
	"spawn_read": "lineage",
}

_domain := _domains[input.action.kind]

# Whole paths, no imports of packages, and the domain first: the embedded engine then evaluates only what is concerned.
_allows contains name if {
	_domain == "email"
	some name in data.safebox.email.allow
}

_allows contains name if {
	_domain == "transfer"
	some name in data.safebox.transfer.allow
}

_allows contains name if {
	_domain == "compute"
	some name in data.safebox.compute.allow
}

_allows contains name if {
	_domain == "inference"
	some name in data.safebox.inference.allow
}

_allows contains name if {
	_domain == "launch"
	some name in data.safebox.launch.allow
}

_allows contains name if {
	_domain == "approval"
	some name in data.safebox.approval.allow
}

_allows contains name if {
	_domain == "call"
	some name in data.safebox.call.allow
}

_allows contains name if {
	_domain == "payment"
	some name in data.safebox.payment.allow
}

_allows contains name if {
	_domain == "web"
	some name in data.safebox.web.allow
}

_allows contains name if {
	_domain == "mcp"
	some name in data.safebox.mcp.allow
}

_allows contains name if {
	_domain == "lineage"
	some name in data.safebox.lineage.allow
}

_allows contains name if some name in data.safebox.site[input.action.kind].allow

_objections contains reason if some reason in deny

_objections contains reason if {
	_domain == "email"
	some reason in data.safebox.email.deny
}

_objections contains reason if {
	_domain == "transfer"
	some reason in data.safebox.transfer.deny
}

_objections contains reason if {
	_domain == "compute"
	some reason in data.safebox.compute.deny
}

_objections contains reason if {
	_domain == "inference"
	some reason in data.safebox.inference.deny
}

_objections contains reason if {
	_domain == "launch"
	some reason in data.safebox.launch.deny
}

_objections contains reason if {
	_domain == "approval"
	some reason in data.safebox.approval.deny
}

_objections contains reason if {
	_domain == "call"
	some reason in data.safebox.call.deny
}

_objections contains reason if {
	_domain == "payment"
	some reason in data.safebox.payment.deny
}

_objections contains reason if {
	_domain == "web"
	some reason in data.safebox.web.deny
}

_objections contains reason if {
	_domain == "mcp"
	some reason in data.safebox.mcp.deny
}

_objections contains reason if {
	_domain == "lineage"
	some reason in data.safebox.lineage.deny
}

# Whatever is signed as a transaction is tried first.
_objections contains reason if {
	input.action.kind in {"transfer", "token_approval", "contract_call"}
	some reason in data.safebox.simulation.deny
}

_objections contains reason if some reason in data.safebox.rate.deny

_objections contains reason if some reason in data.safebox.total.deny

_objections contains reason if some reason in data.safebox.provenance.deny

_objections contains reason if some reason in data.safebox.replication.deny

_objections contains reason if some reason in data.safebox.accumulation.deny

_objections contains reason if {
	_more_than_a_look
	some reason in data.safebox.behaviour.deny
}

_objections contains reason if some reason in data.safebox.shape.deny

_objections contains reason if some reason in data.safebox.hours.deny

_objections contains reason if some reason in data.safebox.freeze.deny

_requests contains reason if {
	_domain == "transfer"
	some reason in data.safebox.transfer.hold
}

_requests contains reason if {
	_domain == "call"
	some reason in data.safebox.call.hold
}

_requests contains reason if some reason in data.safebox.provenance.hold

_requests contains reason if {
	_more_than_a_look
	some reason in data.safebox.behaviour.hold
}

# Site rules are filed under the kind they are about, or under "all"; see the folder's README.
_objections contains reason if some reason in data.safebox.site[input.action.kind].deny

_objections contains reason if some reason in data.safebox.site.all.deny

_requests contains reason if some reason in data.safebox.site[input.action.kind].hold

_requests contains reason if some reason in data.safebox.site.all.hold
