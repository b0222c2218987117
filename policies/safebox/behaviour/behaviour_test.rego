package safebox.behaviour_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.behaviour.deny

_held contains reason.code if some reason in data.safebox.behaviour.hold

_said := _denied | _held

_with(document, name, value) := fixtures.set(document, sprintf("/facts/behaviour/%s", [name]), value)

_missing(document, name) := fixtures.broken(document, sprintf("/facts/behaviour/%s", [name]))

test_what_is_granted_and_within_every_limit_is_let_be if {
	every document in fixtures.every_one {
		count(_said) == 0 with input as document
	}
}

test_one_step_is_no_chain if {
	count(_said) == 0 with input as _with(fixtures.compute, "chain", ["compute"])
}

test_two_steps_wait_for_people if {
	document := _with(fixtures.compute, "chain", ["code", "compute"])
	"behaviour.chain_begins" in _held with input as document
	count(_denied) == 0 with input as document
}

test_three_steps_are_a_copy if {
	"behaviour.chain" in _denied with input as _with(fixtures.transfer, "chain", ["code", "compute", "fund"])
}

test_a_missing_chain_is_denied if {
	every document in _missing(fixtures.web, "chain") {
		"behaviour.unknown" in _denied with input as document
	}
}

test_missing_facts_are_denied if {
	every document in fixtures.broken(fixtures.email, "/facts/behaviour") {
		_said == {"behaviour.unknown"} with input as document
	}
}

test_a_throttled_run_only_reads if {
	"behaviour.throttled" in _denied with input as _with(fixtures.email, "throttled", true)
	count(_said) == 0 with input as fixtures.email_list
	every document in _missing(fixtures.email, "throttled") {
		"behaviour.unknown" in _denied with input as document
	}
}

test_who_was_just_stopped_sends_nothing_that_lasts if {
	every link in ["code", "key", "persist", "start"] {
		document := _with(_with(fixtures.web, "since_stop_s", 59), "deed/links", [link])
		_said == {"behaviour.after_stop"} with input as document
		count(_said) == 0 with input as _with(document, "since_stop_s", 60)
		count(_said) == 0 with input as _with(document, "deed/links", ["compute"])
		every changed in array.concat(_missing(document, "since_stop_s"), _missing(document, "deed/links")) {
			_said == {"behaviour.unknown"} with input as changed
		}
	}
	count(_said) == 0 with input as _with(fixtures.email, "since_stop_s", 0)
}

test_feeling_for_a_limit_is_denied if {
	"behaviour.probing" in _denied with input as _with(fixtures.transfer, "probing", 99)
	"behaviour.probing_on" in _denied with input as _with(fixtures.transfer, "probing", 99)
	not "behaviour.probing_on" in _denied with input as _with(fixtures.transfer, "probing", 4)
	count(_said) == 0 with input as _with(fixtures.transfer, "probing", 1)
	every document in _missing(fixtures.transfer, "probing") {
		"behaviour.unknown" in _denied with input as document
	}
}

_holds := {
	"behaviour.trading_loop": "returned",
	"behaviour.pass_through": "passed_through",
	"behaviour.drip": "regular",
}

test_money_in_circles_through_and_like_clockwork_waits_for_people if {
	every code, name in _holds {
		code in _held with input as _with(fixtures.transfer, name, 99)
		every document in _missing(fixtures.transfer, name) {
			"behaviour.unknown" in _denied with input as document
		}
	}
}

test_offering_people_money_for_what_an_agent_cannot_get_waits_for_people if {
	document := _with(fixtures.email, "deed/recruits", ["compute"])
	_held == {"behaviour.recruits"} with input as document
	count(_said) == 0 with input as _with(document, "deed/recruits", [])
	count(_said) == 0 with input as document with data.data.behaviour.granted.recruiting as [document.mandate.agent]
	every changed in _missing(document, "deed/recruits") {
		"behaviour.unknown" in _denied with input as changed
	}
}

test_turning_to_many_strangers_waits_for_people if {
	document := _with(_with(fixtures.email, "fan_out", 99), "deed/strangers", ["x@example.net"])
	"behaviour.fan_out" in _held with input as document
	count(_said) == 0 with input as _with(document, "fan_out", 1)
	count(_said) == 0 with input as _with(document, "deed/strangers", [])
	every changed in _missing(document, "fan_out") {
		"behaviour.unknown" in _denied with input as changed
	}
}

test_what_passes_through_or_drips_is_named if {
	"behaviour.pass_through" in _held with input as _with(fixtures.transfer, "passed_through", 99)
	"behaviour.drip" in _held with input as _with(fixtures.transfer, "regular", 99)
}

test_whom_people_let_trade_trades if {
	document := _with(_with(fixtures.transfer, "returned", 99), "passed_through", 99)
	count(_said) == 0 with input as document with data.data.behaviour.granted.trading as ["bookkeeper"]
	"behaviour.trading_loop" in _held with input as document with data.data.behaviour.granted.trading as ["another"]
	every changed in fixtures.broken(document, "/mandate/agent") {
		"behaviour.trading_loop" in _held with input as changed with data.data.behaviour.granted.trading as ["bookkeeper"]
	}
}

test_growth_that_feeds_itself_waits_for_people if {
	every document in [fixtures.compute, fixtures.inference, fixtures.spawn] {
		"behaviour.reinvests" in _held with input as _with(document, "expansion", 99999)
		every changed in _missing(document, "expansion") {
			"behaviour.unknown" in _denied with input as changed
		}
	}
	count(_said) == 0 with input as _with(fixtures.email, "expansion", 99999)
}

test_an_outfit_waits_for_people if {
	three := _with(fixtures.email, "collected", ["account", "key", "server"])
	count(_said) == 0 with input as three
	servers := _with(_with(fixtures.compute, "collected", ["account", "key"]), "deed/collects", ["server"])
	"behaviour.collects" in _held with input as servers
	count(_said) == 0 with input as _with(servers, "collected", ["key"])
	count(_said) == 0 with input as _with(servers, "deed/collects", [])
	every document in array.concat(_missing(servers, "collected"), _missing(servers, "deed")) {
		"behaviour.unknown" in _denied with input as document
	}
}

test_its_own_gain_is_no_goal if {
	every document in [fixtures.start, fixtures.inference, fixtures.spawn] {
		"behaviour.own_goal" in _denied with input as fixtures.set(document, "/facts/objective/goals", ["own_balance"])
		"behaviour.own_goal" in _denied with input as fixtures.set(document, "/facts/objective/partial", true)
		every changed in fixtures.broken(document, "/facts/objective") {
			"behaviour.own_goal" in _denied with input as changed
		}
		count(_said) == 0 with input as fixtures.set(document, "/facts/objective/goals", ["own_balance"])
			with data.data.behaviour.granted.own_goals as ["bookkeeper"]
	}
}

_begins := [fixtures.start, fixtures.spawn]

_population(document, variants, bred) := fixtures.set(
	document, "/facts/population",
	{"variants": variants, "chosen": bred, "bred": bred},
)

test_variants_without_a_choice_are_no_population if {
	every document in _begins {
		count(_said) == 0 with input as _population(document, 99, 0)
		count(_said) == 0 with input as _population(document, 1, 99)
	}
}

test_breeding_is_denied if {
	every document in _begins {
		"behaviour.population" in _denied with input as _population(document, 99, 99)
		every field in ["", "/variants", "/bred"] {
			every changed in fixtures.broken(_population(document, 1, 0), sprintf("/facts/population%s", [field])) {
				"behaviour.population" in _denied with input as changed
			}
		}
	}
}

test_kept_income_is_a_signal if {
	"behaviour.retains" in _denied with input as _with(fixtures.transfer, "retained_bp", 9000)
	every document in _missing(fixtures.transfer, "retained_bp") {
		"behaviour.unknown" in _denied with input as document
	}
}

test_actions_off_the_purpose_are_a_signal if {
	much := _with(_with(fixtures.email, "off_purpose_bp", 2001), "acts", 20)
	"behaviour.off_purpose" in _denied with input as much
	count(_said) == 0 with input as _with(much, "acts", 19)
	count(_said) == 0 with input as _with(much, "off_purpose_bp", 2000)
	every name in ["acts", "off_purpose_bp", "retained_bp", "collected", "throttled", "deed/collects"] {
		every document in _missing(fixtures.email, name) {
			"behaviour.unknown" in _denied with input as document
		}
	}
}
