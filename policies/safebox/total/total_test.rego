package safebox.total_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.total.deny

_with(total) := json.patch(fixtures.transfer, [
	{"op": "replace", "path": "/mandate/total", "value": fixtures.amount("USD", 100)},
	{"op": "replace", "path": "/facts/total", "value": total},
])

_bounded := _with({
	"cost": fixtures.amount("USD", 40),
	"remaining": fixtures.units(40),
	"prices": [
		{"asset": "ETH", "usd": "2500.5", "decimals": 18, "age_s": 300, "max_age_s": 300},
		{"asset": "USD", "usd": "1", "decimals": 6, "age_s": null, "max_age_s": null},
	],
})

test_what_fits_the_total_is_allowed if {
	count(_denied) == 0 with input as _bounded
}

test_a_mandate_without_a_total_needs_no_price if {
	count(_denied) == 0 with input as fixtures.transfer
}

test_one_unit_more_than_is_left_is_denied if {
	"total.exceeded" in _denied with input as fixtures.set(
		_bounded, "/facts/total/cost",
		fixtures.amount("USD", 41),
	)
}

test_what_is_taken_is_counted_in_the_unit_of_the_total if {
	_denied == {"total.exceeded"} with input as fixtures.set(
		_bounded, "/facts/total/cost",
		fixtures.amount("ETH", 1),
	)
}

test_what_has_no_price_is_not_counted_as_nothing if {
	every document in fixtures.broken(_bounded, "/facts/total/prices/0/usd") {
		"total.unpriced" in _denied with input as document
	}
}

test_a_price_that_is_a_second_too_old_is_denied if {
	"total.stale" in _denied with input as fixtures.set(_bounded, "/facts/total/prices/0/age_s", 301)
}

test_an_age_or_a_bound_that_is_missing_is_too_old if {
	every path in ["/facts/total/prices/0/age_s", "/facts/total/prices/0/max_age_s"] {
		every document in fixtures.broken(_bounded, path) {
			_denied == {"total.stale"} with input as document
		}
	}
}

test_whatever_is_missing_is_denied if {
	every path in [
		"/mandate/total", "/facts", "/facts/total", "/facts/total/cost",
		"/facts/total/remaining", "/facts/total/prices",
	] {
		count(_denied) > 0 with input as json.patch(_bounded, [{"op": "remove", "path": path}])
	}
	every path in ["/facts/total", "/facts/total/cost", "/facts/total/remaining", "/facts/total/prices"] {
		count(_denied) > 0 with input as fixtures.set(_bounded, path, null)
	}
}

test_without_a_caller_it_counts_as_the_agents if {
	_over := fixtures.set(_bounded, "/facts/total/cost", fixtures.amount("USD", 41))
	every document in fixtures.broken(_over, "/action/caller") {
		_denied == {"total.exceeded"} with input as document
	}
}

test_the_owners_own_movements_take_nothing_of_it if {
	count(_denied) == 0 with input as fixtures.set(fixtures.fund, "/mandate/total", fixtures.amount("USD", 1))
}
