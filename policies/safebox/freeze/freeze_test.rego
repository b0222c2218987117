package safebox.freeze_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.freeze.deny

_gives_back := {"wallet.sweep", "compute.stop"}

test_nothing_is_frozen_unless_data_says_so if {
	every document in fixtures.every_one {
		count(_denied) == 0 with input as document
	}
}

test_a_frozen_kind_is_denied_and_no_other if {
	every document in fixtures.every_one {
		expected := {code | some code in ["freeze.kind"]; document.action.kind == "transfer"}
		_denied == expected with input as document with data.data.freeze.kinds as ["inbox", "transfer"]
	}
}

test_when_all_is_frozen_things_are_given_back_and_nothing_else_happens if {
	every document in fixtures.every_one {
		expected := {code | some code in ["freeze.kind"]; not document.action.tool in _gives_back}
		_denied == expected with input as document with data.data.freeze.kinds as ["all"]
	}
}

test_a_list_that_is_none_freezes_everything if {
	every kinds in [null, "transfer", {}, {"transfer": true}, [null], ["inbox", 7], [["transfer"]]] {
		"freeze.kind" in _denied with input as fixtures.email with data.data.freeze.kinds as kinds
		count(_denied) == 0 with input as fixtures.sweep with data.data.freeze.kinds as kinds
	}
	"freeze.kind" in _denied with input as fixtures.email with data.data.freeze as {}
}

test_an_action_of_no_kind_counts_as_frozen if {
	every path in ["/action", "/action/kind"] {
		every document in fixtures.broken(fixtures.email, path) {
			"freeze.kind" in _denied with input as document
		}
	}
}
