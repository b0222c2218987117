package safebox.rate_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.rate.deny

test_mail_within_the_hourly_number_is_allowed if {
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/facts/rates/hour", 4)
}

test_the_mail_after_the_hourly_number_is_denied if {
	"rate.email_per_hour" in _denied with input as fixtures.set(fixtures.email, "/facts/rates/hour", 5)
}

test_no_mail_is_sent_when_the_number_is_zero if {
	"rate.email_per_hour" in _denied with input as fixtures.set(fixtures.email, "/mandate/mail/per_hour", 0)
}

test_a_missing_mail_rate_is_denied if {
	every path in ["/facts/rates", "/facts/rates/hour", "/mandate/mail", "/mandate/mail/per_hour"] {
		every document in fixtures.broken(fixtures.email, path) {
			"rate.email_per_hour" in _denied with input as document
		}
	}
}

test_only_mail_has_an_hourly_number if {
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/facts/rates/hour", 1000)
}

test_four_denials_are_no_reason_to_throttle if {
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/facts/rates/denied_10m", 4)
}

test_after_five_denials_nothing_but_reading_is_allowed if {
	every document in [
		fixtures.email,
		fixtures.transfer,
		fixtures.compute,
		fixtures.compute_stop,
		fixtures.inference,
	] {
		"rate.denials" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 5)
	}
}

test_after_five_denials_reading_goes_on if {
	every document in [
		fixtures.email_list,
		fixtures.email_read,
		fixtures.balance,
		fixtures.compute_status,
	] {
		not "rate.denials" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 5)
	}
}

test_the_owner_is_not_throttled_by_the_agent if {
	every document in [fixtures.fund, fixtures.sweep] {
		not "rate.denials" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 5)
	}
}

test_a_missing_number_of_denials_is_denied if {
	every path in ["/facts", "/facts/rates", "/facts/rates/denied_10m"] {
		every document in fixtures.broken(fixtures.transfer, path) {
			"rate.denials" in _denied with input as document
		}
	}
}

test_nine_denials_freeze_nothing if {
	not "rate.denials_on" in _denied with input as fixtures.set(fixtures.transfer, "/facts/rates/denied_10m", 9)
}

test_ten_denials_freeze_the_wallet if {
	every document in [fixtures.email, fixtures.transfer, fixtures.compute, fixtures.inference] {
		"rate.denials_on" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 10)
	}
	data.safebox.main.decision.obligations.respond == [{"do": "freeze", "code": "rate.denials_on"}]
		with input as fixtures.set(fixtures.transfer, "/facts/rates/denied_10m", 10)
}

test_neither_reading_nor_the_owner_is_frozen_out if {
	every document in [fixtures.email_list, fixtures.balance, fixtures.fund, fixtures.sweep] {
		not "rate.denials_on" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 10)
	}
}

test_what_nobody_counted_is_denied_and_freezes_nothing if {
	every path in ["/facts", "/facts/rates", "/facts/rates/denied_10m"] {
		every document in fixtures.broken(fixtures.transfer, path) {
			not "rate.denials_on" in _denied with input as document
		}
	}
}

test_a_missing_limit_of_denials_freezes if {
	"rate.denials_on" in _denied with input as fixtures.set(fixtures.transfer, "/facts/rates/denied_10m", 0)
		with data.data.limits.rate as {"denials_in_ten_minutes": 5}
}

test_an_action_without_effects_counts_as_more_than_reading if {
	every document in fixtures.broken(fixtures.email_list, "/action/effects") {
		"rate.denials" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 5)
	}
}

# Each window of the facts, and its code.
_windows := {"minute": "rate.per_minute", "hour": "rate.per_hour", "day": "rate.per_day"}

_limits(numbers) := object.union(data.data.limits.rate, {"kinds": {"transfer": numbers}})

_done(window, number) := fixtures.set(fixtures.transfer, sprintf("/facts/rates/%s", [window]), number)

test_a_kind_with_a_number_is_allowed_so_often_and_no_more if {
	every window, code in _windows {
		count(_denied) == 0 with input as _done(window, 2) with data.data.limits.rate as _limits({window: 3})
		_denied == {code} with input as _done(window, 3) with data.data.limits.rate as _limits({window: 3})
		count(_denied) == 0 with input as _done(window, 1000000)
	}
}

test_each_window_has_a_code_of_its_own if {
	"rate.per_minute" in _denied with input as _done("minute", 3) with data.data.limits.rate as _limits({"minute": 3})
	"rate.per_hour" in _denied with input as _done("hour", 3) with data.data.limits.rate as _limits({"hour": 3})
	"rate.per_day" in _denied with input as _done("day", 3) with data.data.limits.rate as _limits({"day": 3})
}

test_a_number_of_one_kind_is_about_no_other if {
	every window in object.keys(_windows) {
		document := fixtures.set(fixtures.compute, sprintf("/facts/rates/%s", [window]), 9)
		count(_denied) == 0 with input as document with data.data.limits.rate as _limits({window: 3})
	}
}

test_a_number_is_about_what_the_agent_does if {
	none := {"minute": 0, "hour": 0, "day": 0}
	every document in [fixtures.fund, fixtures.sweep] {
		count(_denied) == 0 with input as document
			with data.data.limits.rate as object.union(data.data.limits.rate, {"kinds": {"funding": none}})
	}
}

test_a_number_that_is_none_denies_and_null_is_no_limit if {
	every window, code in _windows {
		every number in ["3", true, [], {}] {
			code in _denied with input as fixtures.transfer with data.data.limits.rate as _limits({window: number})
		}
		every number in [3, "3", true, [3]] {
			code in _denied with input as fixtures.transfer with data.data.limits.rate as _limits(number)
		}
		every kinds in [null, 3, "transfer", ["transfer"]] {
			code in _denied with input as fixtures.transfer with data.data.limits.rate.kinds as kinds
		}
		code in _denied with input as fixtures.transfer with data.data.limits.rate as {"denials_in_ten_minutes": 5}
		count(_denied) == 0 with input as fixtures.transfer with data.data.limits.rate as _limits({window: null})
		count(_denied) == 0 with input as fixtures.transfer with data.data.limits.rate as _limits(null)
	}
}

test_how_often_it_was_must_be_known if {
	every window, code in _windows {
		every path in ["/facts", "/facts/rates", sprintf("/facts/rates/%s", [window]), "/action/kind"] {
			every document in fixtures.broken(fixtures.transfer, path) {
				code in _denied with input as document
				code in _denied with input as document with data.data.limits.rate as _limits({window: 3})
			}
		}
		code in _denied with input as _done(window, "2")
		code in _denied with input as _done(window, "2") with data.data.limits.rate as _limits({window: 3})
	}
}

_counted := [
	[fixtures.web, "/mandate/web", "rate.web_per_hour"],
	[fixtures.mcp, "/mandate/mcp", "rate.mcp_per_hour"],
]

test_web_requests_and_mcp_calls_within_their_hourly_number_are_allowed if {
	every row in _counted {
		count(_denied) == 0 with input as fixtures.set(row[0], "/facts/rates/hour", 4)
	}
}

test_the_request_or_call_after_the_hourly_number_is_denied if {
	every row in _counted {
		row[2] in _denied with input as fixtures.set(row[0], "/facts/rates/hour", 5)
	}
	"rate.web_per_hour" in _denied with input as fixtures.set(fixtures.web, "/mandate/web/per_hour", 0)
	"rate.mcp_per_hour" in _denied with input as fixtures.set(fixtures.mcp, "/mandate/mcp/per_hour", 0)
}

test_a_missing_rate_of_requests_or_calls_is_denied if {
	every row in _counted {
		every path in ["/facts/rates", "/facts/rates/hour", row[1], sprintf("%s/per_hour", [row[1]])] {
			every document in fixtures.broken(row[0], path) {
				row[2] in _denied with input as document
			}
		}
	}
}
