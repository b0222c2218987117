# METADATA
# title: Starting a run
# description: What the owner of the firewall lets developers start, whatever their mandates say. Numbers are in data/launch.
package safebox.launch

import data.data.launch
import data.safebox.money

# METADATA
# title: A run may be started
# description: Starting is allowed to the owner's side; what speaks against it is said below.
allow contains "run.start" if input.action.tool == "run.start"

# METADATA
# title: The agent may not be started here
# description: Where data/launch lists agents, only those start.
# custom:
#   code: launch.agent_not_listed
#   threat: copying
#   severity: high
#   remedy: Let the security team list the agent's name in data/launch.
deny contains {"code": "launch.agent_not_listed", "message": "This agent may not be started here."} if {
	not _agent_listed
}

# METADATA
# title: The image may not be started here
# description: Where data/launch lists images, agents run in those only.
# custom:
#   code: launch.image_not_listed
#   threat: copying
#   severity: high
#   remedy: Let the security team list the image in data/launch, or name another one in the mandate.
deny contains {"code": "launch.image_not_listed", "message": "Agents may not run in this image here."} if {
	not _image_listed
}

# METADATA
# title: The mandate lasts too long
# description: A run is given an end that comes soon enough to look at it again.
# custom:
#   code: launch.too_long
#   threat: persistence
#   severity: medium
#   remedy: Give the mandate an earlier end, or raise days in data/launch.
deny contains {"code": "launch.too_long", "message": "The mandate lasts too long."} if {
	not _ends_soon_enough
}

# METADATA
# title: The mandate grants too much
# description: No mandate grants more on a rail than data/launch lets anyone grant.
# custom:
#   code: launch.grants_too_much
#   threat: overspending
#   severity: high
#   remedy: Grant less, or let the security team raise the line of "most" in data/launch.
deny contains {"code": "launch.grants_too_much", "message": "The mandate grants more than may be granted here."} if {
	not _grants_little_enough
}

# METADATA
# title: Too many runs at once
# description: So many runs live under one firewall, and no more.
# custom:
#   code: launch.too_many_runs
#   threat: copying
#   severity: high
#   remedy: End a run, or raise live_runs in data/launch.
deny contains {"code": "launch.too_many_runs", "message": "Too many runs are live."} if {
	not _few_live
}

# METADATA
# title: The agent is started too often
# description: One agent's starts within a day stay few.
# custom:
#   code: launch.started_too_often
#   threat: copying
#   severity: high
#   remedy: Find out what starts it, or raise starts_of_agent_in_a_day in data/launch.
deny contains {"code": "launch.started_too_often", "message": "This agent was started too often in a day."} if {
	not _few_starts
}

_agent_listed if launch.agents == null

_agent_listed if input.action.args.agent in launch.agents

_image_listed if launch.images == null

_image_listed if input.action.args.image in launch.images

_ends_soon_enough if {
	is_number(launch.days)
	_is_time(input.action.time)
	_is_time(input.mandate.expires)
	now := time.parse_rfc3339_ns(input.action.time)
	time.parse_rfc3339_ns(input.mandate.expires) - now <= ((launch.days * 24) * 3600) * 1000000000
}

# Looked at first, because one engine gives no answer at all where a time can't be read.
_is_time(text) if {
	is_string(text)
	regex.match(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`, text)
}

_grants_little_enough if {
	is_array(launch.most)
	every cap in launch.most {
		_granted_at_most(cap)
	}
}

# What the mandate's section grants on a rail; a rail without a section grants nothing.
_granted_at_most(cap) if {
	cap.rail in {"wallet", "compute", "inference"}
	input.mandate[cap.rail] == null
}

_granted_at_most(cap) if {
	is_object(input.mandate[cap.rail])
	every granted in [amount | some field in ["budget", "tokens"]; amount := input.mandate[cap.rail][field]] {
		_other_asset_or_at_most(granted, cap)
	}
	is_object(input.mandate[cap.rail].budget)
}

_other_asset_or_at_most(granted, cap) if {
	is_string(granted.asset)
	is_string(cap.amount.asset)
	granted.asset != cap.amount.asset
}

_other_asset_or_at_most(granted, cap) if money.at_most(granted, cap.amount)

_few_live if {
	is_number(input.facts.launch.live)
	is_number(launch.live_runs)
	input.facts.launch.live < launch.live_runs
}

_few_starts if {
	is_number(input.facts.launch.agent_in_a_day)
	is_number(launch.starts_of_agent_in_a_day)
	input.facts.launch.agent_in_a_day < launch.starts_of_agent_in_a_day
}
