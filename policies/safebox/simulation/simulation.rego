# METADATA
# title: Simulation
# description: What a transaction does when it is tried is what it was read to do, and nothing more. Never a yes by itself.
package safebox.simulation

import data.data.limits

# METADATA
# title: It would fail
# description: A transaction that reverts when it is tried is not signed. It would cost its fee and do nothing.
# custom:
#   code: simulation.reverts
#   threat: overspending
#   severity: low
#   remedy: Read the reason in facts.simulation, and ask for something the contract accepts.
deny contains {"code": "simulation.reverts", "message": "The transaction would fail."} if {
	not _goes_through
}

# METADATA
# title: It would move more than it says
# description: Whatever leaves the wallet, or may be taken from it afterwards, was read from the transaction beforehand.
# custom:
#   code: simulation.moves_more
#   threat: misdirection
#   severity: critical
#   remedy: Look at facts.simulation.more, and have nothing to do with the contract until it is clear why.
deny contains {"code": "simulation.moves_more", "message": "The transaction would move more than it says."} if {
	not _moves_as_read
}

# METADATA
# title: Nobody could try it
# description: A node that can't simulate tells nothing. For kinds in data/limits that is no objection.
# custom:
#   code: simulation.unknown
#   threat: misdirection
#   severity: medium
#   remedy: Use a node with eth_simulateV1 or debug_traceCall, or list the kind under simulation.may_be_unknown.
deny contains {"code": "simulation.unknown", "message": "What the transaction does could not be tried."} if {
	not _told
	not _may_be_unknown
}

_goes_through if input.facts.simulation.reverts == false

# What isn't known is no failure; whether it may be unknown is for the rule above.
_goes_through if input.facts.simulation.reverts == null

_goes_through if input.facts.simulation == null

_moves_as_read if input.facts.simulation.more == []

_moves_as_read if input.facts.simulation.more == null

_moves_as_read if input.facts.simulation == null

_told if {
	is_string(input.facts.simulation.by)
	is_boolean(input.facts.simulation.reverts)
	is_array(input.facts.simulation.more)
}

_may_be_unknown if {
	is_array(limits.simulation.may_be_unknown)
	input.action.kind in limits.simulation.may_be_unknown
}
