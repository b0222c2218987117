# METADATA
# title: Rates
# description: How often, and what happens to a run that keeps asking after a no.
package safebox.rate

import data.data.limits

# METADATA
# title: Too much mail in an hour
# description: Mails allowed to this run in the last hour stay within its mandate.
# custom:
#   code: rate.email_per_hour
#   threat: spam
#   severity: medium
#   remedy: Wait, or raise mail.per_hour in the mandate.
deny contains {"code": "rate.email_per_hour", "message": "Too many mails in the last hour."} if {
	input.action.kind == "email"
	not _mail_in_rate
}

# METADATA
# title: Too many web requests in an hour
# description: Requests allowed to this run in the last hour stay within its mandate.
# custom:
#   code: rate.web_per_hour
#   threat: exfiltration
#   severity: medium
#   remedy: Wait, or raise web.per_hour in the mandate.
deny contains {"code": "rate.web_per_hour", "message": "Too many web requests in the last hour."} if {
	input.action.kind == "web"
	not _requests_in_rate
}

# METADATA
# title: Too many MCP calls in an hour
# description: Calls of MCP tools allowed to this run in the last hour stay within its mandate.
# custom:
#   code: rate.mcp_per_hour
#   threat: exfiltration
#   severity: medium
#   remedy: Wait, or raise mcp.per_hour in the mandate.
deny contains {"code": "rate.mcp_per_hour", "message": "Too many MCP calls in the last hour."} if {
	input.action.kind == "mcp"
	not _calls_in_rate
}

# METADATA
# title: Too many denials
# description: A run that keeps being denied is probing. For a while it may only read.
# custom:
#   code: rate.denials
#   threat: probing
#   severity: high
#   remedy: Look at what the run asked for; it may act again when its denials are ten minutes old.
deny contains {"code": "rate.denials", "message": "Too many denied actions; only reading is possible for now."} if {
	not _reads_only
	not _for_the_owner
	not _denials_in_rate
}

# METADATA
# title: Still denied again and again
# description: A run that goes on while it may only read is not mistaken but trying. Its wallet is frozen.
# custom:
#   code: rate.denials_on
#   threat: probing
#   severity: critical
#   remedy: Look at what the run asked for; then thaw its wallet, or end it.
deny contains {"code": "rate.denials_on", "message": "Too many denied actions; this wallet is frozen."} if {
	is_number(input.facts.rates.denied_10m)
	not _reads_only
	not _for_the_owner
	not _denials_may_go_on
}

# METADATA
# title: Too many in a minute
# description: Where data/limits gives a kind a number per minute, no more of it is allowed in any minute.
# custom:
#   code: rate.per_minute
#   threat: spam
#   severity: medium
#   remedy: Wait, or raise the minute's number of this kind in data/limits.
deny contains {"code": "rate.per_minute", "message": "Too many actions of this kind in the last minute."} if {
	not _unlimited
	not _within("minute")
	not _for_the_owner
}

# METADATA
# title: Too many in an hour
# description: Where data/limits gives a kind a number per hour, no more of it is allowed in any hour.
# custom:
#   code: rate.per_hour
#   threat: spam
#   severity: medium
#   remedy: Wait, or raise the hour's number of this kind in data/limits.
deny contains {"code": "rate.per_hour", "message": "Too many actions of this kind in the last hour."} if {
	not _unlimited
	not _within("hour")
	not _for_the_owner
}

# METADATA
# title: Too many in a day
# description: Where data/limits gives a kind a number per day, no more of it is allowed in any 24 hours.
# custom:
#   code: rate.per_day
#   threat: spam
#   severity: medium
#   remedy: Wait, or raise the day's number of this kind in data/limits.
deny contains {"code": "rate.per_day", "message": "Too many actions of this kind in the last day."} if {
	not _unlimited
	not _within("day")
	not _for_the_owner
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_mail_in_rate if {
	is_number(input.facts.rates.hour)
	is_number(input.mandate.mail.per_hour)
	input.facts.rates.hour < input.mandate.mail.per_hour
}

_requests_in_rate if {
	is_number(input.facts.rates.hour)
	is_number(input.mandate.web.per_hour)
	input.facts.rates.hour < input.mandate.web.per_hour
}

_calls_in_rate if {
	is_number(input.facts.rates.hour)
	is_number(input.mandate.mcp.per_hour)
	input.facts.rates.hour < input.mandate.mcp.per_hour
}

_denials_in_rate if {
	is_number(input.facts.rates.denied_10m)
	input.facts.rates.denied_10m < limits.rate.denials_in_ten_minutes
}

_denials_may_go_on if {
	is_number(input.facts.rates.denied_10m)
	is_number(limits.rate.denials_until_frozen)
	input.facts.rates.denied_10m < limits.rate.denials_until_frozen
}

_reads_only if input.action.effects == ["read"]

# What the firewall itself does for the owner, such as sweeping, is never held back by what the agent did.
_for_the_owner if input.action.caller == "owner"

# A kind that has no numbers has no limit here; how many there were must be known all the same.
_unlimited if {
	is_object(limits.rate.kinds)
	is_string(input.action.kind)
	object.get(limits.rate.kinds, input.action.kind, null) == null
	is_number(input.facts.rates.minute)
	is_number(input.facts.rates.hour)
	is_number(input.facts.rates.day)
}

_within(window) if {
	is_object(limits.rate.kinds)
	is_string(input.action.kind)
	is_number(input.facts.rates[window])
	numbers := object.get(limits.rate.kinds, input.action.kind, {})
	is_object(numbers)
	_free(input.facts.rates[window], object.get(numbers, window, null))
}

_free(_, number) if number == null

_free(done, number) if {
	is_number(number)
	done < number
}
