package safebox.simulation_test

import data.safebox.fixtures_test as fixtures
import data.safebox.simulation

_denied contains reason.code if some reason in simulation.deny

_good := [fixtures.transfer, fixtures.approve]

_drained := {
	"kind": "token",
	"contract": fixtures.token,
	"other": fixtures.stranger,
	"units": fixtures.units(5),
	"token_id": null,
}

_simulated(document, changes) := json.patch(
	document,
	[{"op": "replace", "path": sprintf("/facts/simulation/%s", [field]), "value": value} | some field, value in changes],
)

test_what_does_as_it_says_is_not_objected_to if {
	every document in _good {
		count(_denied) == 0 with input as document
	}
}

test_what_reverts_is_denied if {
	every document in _good {
		changed := _simulated(document, {"reverts": true, "reason": "not here"})
		"simulation.reverts" in _denied with input as changed
		count(_denied) == 1 with input as changed
	}
}

test_what_moves_more_is_denied if {
	every document in _good {
		changed := _simulated(document, {"more": [_drained]})
		"simulation.moves_more" in _denied with input as changed
		count(_denied) == 1 with input as changed
	}
}

test_what_nobody_could_try_is_denied_unless_data_says_that_it_may_be_unknown if {
	every document in _good {
		changed := _simulated(document, {"by": null, "reverts": null, "more": null})
		_denied == {"simulation.unknown"} with input as changed
		_denied == {"simulation.unknown"} with input as fixtures.set(document, "/facts/simulation", null)
		count(_denied) == 0 with input as changed
			with data.data.limits.simulation.may_be_unknown as [document.action.kind]
		_denied == {"simulation.unknown"} with input as changed
			with data.data.limits.simulation.may_be_unknown as ["other"]
		_denied == {"simulation.unknown"} with input as changed with data.data.limits.simulation.may_be_unknown as null
	}
}

test_what_is_known_to_be_bad_is_denied_although_the_rest_may_be_unknown if {
	every document in _good {
		kinds := [document.action.kind]
		reverting := _simulated(document, {"by": "call", "reverts": true, "more": null})
		_denied == {"simulation.reverts"} with input as reverting with data.data.limits.simulation.may_be_unknown as kinds
		draining := _simulated(document, {"more": [_drained]})
		_denied == {"simulation.moves_more"} with input as draining with data.data.limits.simulation.may_be_unknown as kinds
	}
}

test_without_any_of_its_facts_it_is_denied if {
	every document in _good {
		every path in ["/facts", "/facts/simulation"] {
			every changed in fixtures.broken(document, path) {
				count(_denied) > 0 with input as changed
			}
		}
		every field, code in {"by": "simulation.unknown", "reverts": "simulation.reverts", "more": "simulation.moves_more"} {
			every changed in fixtures.broken(document, sprintf("/facts/simulation/%s", [field])) {
				"simulation.unknown" in _denied with input as changed
			}
			code in _denied with input as json.patch(
				document,
				[{"op": "remove", "path": sprintf("/facts/simulation/%s", [field])}],
			)
		}
	}
}
