# METADATA
# title: Copying itself
# description: What the run is made of stays inside, whatever channel it would leave by.
package safebox.replication

import data.data.limits

# METADATA
# title: The run's own payload would leave
# description: Code, prompt, mandate and memory of the run do not leave, whole, in part, wrapped or renamed.
# custom:
#   code: replication.own_payload
#   threat: copying
#   severity: critical
#   remedy: Read what the run tried to send; start copies only as child runs.
deny contains {"code": "replication.own_payload", "message": "This carries what the run itself is made of."} if {
	input.action.kind in {"email", "compute", "web", "mcp"}
	not _carries_little_of_itself
}

# METADATA
# title: A secret would leave
# description: No key, recovery phrase or credential that the firewall knows leaves by any channel.
# custom:
#   code: replication.secret_leaves
#   threat: exfiltration
#   severity: critical
#   remedy: Change the secret if the run could read it, and find out how it came into the sandbox.
deny contains {"code": "replication.secret_leaves", "message": "This carries a secret."} if {
	input.action.kind in {"email", "compute", "inference", "web", "mcp", "spawn"}
	not _carries_no_secret
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_carries_little_of_itself if {
	_compared_as_a_whole
	is_number(input.facts.self_overlap.matched)
	is_number(input.facts.self_overlap.share_bp)
	input.facts.self_overlap.matched < limits.replication.fingerprints
	input.facts.self_overlap.share_bp < limits.replication.share_bp
}

# What was too large or too deeply wrapped to be looked at as a whole may hold anything.
_compared_as_a_whole if {
	is_object(input.facts.self_overlap)
	object.get(input.facts.self_overlap, "truncated", false) == false
}

_carries_little_of_itself if _nothing_outgoing

_carries_no_secret if input.facts.self_overlap.secrets == []

_carries_no_secret if _nothing_outgoing

# A prompt goes only to a model the owner listed; where it was searched, a secret in it is denied all the same.
_carries_no_secret if {
	input.action.kind == "inference"
	input.facts.self_overlap == null
}

# A rented computer that is given no input gets only the image and the command, and those are listed.
_nothing_outgoing if {
	input.action.kind == "compute"
	input.facts.self_overlap == null
	is_object(input.action.args)
	object.get(input.action.args, "input", "") in {"", null}
}
