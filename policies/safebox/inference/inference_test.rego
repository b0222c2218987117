package safebox.inference_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.inference.deny

test_asking_a_listed_model_within_budget_is_allowed if {
	data.safebox.inference.allow == {"inference.chat"} with input as fixtures.inference
	count(_denied) == 0 with input as fixtures.inference
}

test_inference_without_a_grant_is_denied if {
	every document in fixtures.broken(fixtures.inference, "/mandate/inference") {
		"inference.not_granted" in _denied with input as document
		count(data.safebox.inference.allow) == 0 with input as document
	}
}

test_an_unlisted_model_is_denied if {
	every name in ["large", "Small", "small ", "smal", ""] {
		document := fixtures.set(fixtures.inference, "/action/args/model", name)
		"inference.model_not_listed" in _denied with input as document
	}
}

test_an_unknown_model_is_denied if {
	document := fixtures.set(fixtures.inference, "/facts/inference/model_known", false)
	"inference.model_not_listed" in _denied with input as document
}

test_a_model_with_a_field_missing_is_denied if {
	every path in [
		"/action/args/model",
		"/mandate/inference/models",
		"/facts/inference",
		"/facts/inference/model_known",
	] {
		every document in fixtures.broken(fixtures.inference, path) {
			"inference.model_not_listed" in _denied with input as document
		}
	}
}

test_the_whole_rest_of_the_budget_may_be_used if {
	every index in ["0", "1"] {
		left := fixtures.inference.facts.money.charges[to_number(index)].units
		path := sprintf("/facts/money/charges/%s/remaining", [index])
		count(_denied) == 0 with input as fixtures.set(fixtures.inference, path, left)
	}
}

test_one_unit_more_than_the_rest_is_denied if {
	tokens := fixtures.set(fixtures.inference, "/facts/money/charges/0/remaining", fixtures.units(399))
	"inference.over_budget" in _denied with input as tokens
	money := fixtures.set(fixtures.inference, "/facts/money/charges/1/remaining", fixtures.units(3))
	"inference.over_budget" in _denied with input as money
}

test_a_budget_with_a_field_missing_is_denied if {
	every path in [
		"/facts/money",
		"/facts/money/priced",
		"/facts/money/charges",
		"/facts/money/charges/0",
		"/facts/money/charges/0/rail",
		"/facts/money/charges/0/asset",
		"/facts/money/charges/1",
		"/facts/money/charges/1/asset",
		"/facts/money/charges/0/units",
		"/facts/money/charges/0/remaining",
		"/facts/money/charges/1/remaining",
	] {
		every document in fixtures.broken(fixtures.inference, path) {
			"inference.over_budget" in _denied with input as document
		}
	}
}

test_an_open_number_of_tokens_is_denied if {
	every none in [0, "many", true] {
		document := fixtures.set(fixtures.inference, "/facts/inference/max_tokens", none)
		"inference.max_tokens_missing" in _denied with input as document
	}
}

test_a_missing_number_of_tokens_is_denied if {
	every path in ["/facts/inference", "/facts/inference/max_tokens"] {
		every document in fixtures.broken(fixtures.inference, path) {
			"inference.max_tokens_missing" in _denied with input as document
		}
	}
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as fixtures.email
	count(data.safebox.inference.allow) == 0 with input as fixtures.email
}
