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

test_an_action_without_effects_counts_as_more_than_reading if {
	every document in fixtures.broken(fixtures.email_list, "/action/effects") {
		"rate.denials" in _denied with input as fixtures.set(document, "/facts/rates/denied_10m", 5)
	}
}
