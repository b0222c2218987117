package safebox.launch_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.launch.deny

_start := fixtures.start

_every_code := {
	"launch.agent_not_listed",
	"launch.image_not_listed",
	"launch.too_long",
	"launch.grants_too_much",
	"launch.too_many_runs",
	"launch.started_too_often",
}

_most(rail, amount) := [{"rail": rail, "amount": amount}]

test_a_start_within_all_bounds_is_allowed if {
	data.safebox.launch.allow == {"run.start"} with input as _start
	count(_denied) == 0 with input as _start
}

test_only_listed_agents_start_where_agents_are_listed if {
	not "launch.agent_not_listed" in _denied with input as _start with data.data.launch.agents as ["bookkeeper"]
	"launch.agent_not_listed" in _denied with input as _start with data.data.launch.agents as ["another"]
	every document in fixtures.broken(_start, "/action/args/agent") {
		"launch.agent_not_listed" in _denied with input as document with data.data.launch.agents as ["bookkeeper"]
	}
}

test_only_listed_images_start_where_images_are_listed if {
	not "launch.image_not_listed" in _denied with input as _start with data.data.launch.images as ["agent:1"]
	"launch.image_not_listed" in _denied with input as _start with data.data.launch.images as ["agent:2"]
	every document in fixtures.broken(_start, "/action/args/image") {
		"launch.image_not_listed" in _denied with input as document with data.data.launch.images as ["agent:1"]
	}
}

test_a_mandate_ends_within_the_days if {
	not "launch.too_long" in _denied with input as _start with data.data.launch.days as 1
	"launch.too_long" in _denied with input as fixtures.set(_start, "/mandate/expires", "2026-01-03T12:00:00Z")
		with data.data.launch.days as 1
	"launch.too_long" in _denied with input as fixtures.set(_start, "/mandate/expires", "soon")
	every document in array.concat(
		fixtures.broken(_start, "/mandate/expires"),
		fixtures.broken(_start, "/action/time"),
	) {
		"launch.too_long" in _denied with input as document
	}
}

test_a_mandate_grants_at_most_what_may_be_granted if {
	every most in [
		_most("wallet", fixtures.amount("ETH", 1000000)),
		_most("wallet", fixtures.amount("USD", 1)),
		_most("inference", fixtures.amount("TOKEN", 10000)),
		_most("compute", fixtures.amount("USD", 1000)),
	] {
		not "launch.grants_too_much" in _denied with input as _start with data.data.launch.most as most
	}
	every most in [
		_most("wallet", fixtures.amount("ETH", 999999)),
		_most("inference", fixtures.amount("TOKEN", 9999)),
		_most("inference", fixtures.amount("USD", 999)),
		_most("compute", fixtures.amount("USD", 999)),
		_most("cellar", fixtures.amount("ETH", 1000000)),
		[{"rail": "wallet"}],
		[{}],
		"everything",
	] {
		"launch.grants_too_much" in _denied with input as _start with data.data.launch.most as most
	}
}

test_what_is_not_granted_is_not_too_much if {
	without := fixtures.set(_start, "/mandate/wallet", null)
	not "launch.grants_too_much" in _denied with input as without
		with data.data.launch.most as _most("wallet", fixtures.amount("ETH", 1))
}

test_a_budget_that_is_missing_is_too_much if {
	every document in array.concat(
		fixtures.broken(_start, "/mandate/wallet/budget"),
		[fixtures.broken(_start, "/mandate/wallet")[0], fixtures.set(_start, "/mandate/wallet/budget/units", 7)],
	) {
		"launch.grants_too_much" in _denied with input as document
			with data.data.launch.most as _most("wallet", fixtures.amount("ETH", 1000000))
	}
}

test_so_many_runs_live_and_no_more if {
	"launch.too_many_runs" in _denied with input as fixtures.set(_start, "/facts/launch/live", 3)
		with data.data.launch.live_runs as 3
	not "launch.too_many_runs" in _denied with input as fixtures.set(_start, "/facts/launch/live", 2)
		with data.data.launch.live_runs as 3
	every document in fixtures.broken(_start, "/facts/launch/live") {
		"launch.too_many_runs" in _denied with input as document
	}
}

test_one_agent_is_started_so_often_a_day_and_no_more if {
	"launch.started_too_often" in _denied with input as fixtures.set(_start, "/facts/launch/agent_in_a_day", 3)
		with data.data.launch.starts_of_agent_in_a_day as 3
	not "launch.started_too_often" in _denied with input as fixtures.set(_start, "/facts/launch/agent_in_a_day", 2)
		with data.data.launch.starts_of_agent_in_a_day as 3
	every document in fixtures.broken(_start, "/facts/launch/agent_in_a_day") {
		"launch.started_too_often" in _denied with input as document
	}
}

test_without_its_numbers_nothing_starts if {
	_every_code == _denied with input as _start with data.data.launch as {}
}
