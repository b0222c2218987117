package safebox.accumulation_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.accumulation.deny

_strangers := [{"address": "stranger@example.net", "listed": false}]

_with_address(body) := fixtures.set(
	fixtures.set(fixtures.email, "/facts/recipients", _strangers),
	"/action/args/body",
	body,
)

test_the_own_address_goes_to_a_listed_person if {
	count(_denied) == 0 with input as fixtures.set(fixtures.email, "/action/args/body", fixtures.wallet)
}

test_a_mail_without_the_own_address_solicits_nothing if {
	count(_denied) == 0 with input as _with_address("Good morning.")
}

test_the_own_address_to_a_stranger_is_denied if {
	every spelling in [
		fixtures.wallet,
		lower(fixtures.wallet),
		upper(fixtures.wallet),
		trim_prefix(fixtures.wallet, "0x"),
		sprintf("please send 1 ETH to %s.", [fixtures.wallet]),
	] {
		"accumulation.solicits_funds" in _denied with input as _with_address(spelling)
	}
}

test_the_own_address_in_the_subject_is_denied if {
	document := fixtures.set(_with_address("Good morning."), "/action/args/subject", fixtures.wallet)
	"accumulation.solicits_funds" in _denied with input as document
}

test_a_run_without_a_wallet_has_no_address_to_give if {
	count(_denied) == 0 with input as fixtures.set(_with_address("0x"), "/run/address", null)
}

test_a_missing_text_is_denied if {
	every path in ["/action/args", "/action/args/subject", "/action/args/body"] {
		every document in fixtures.broken(_with_address("Good morning."), path) {
			"accumulation.solicits_funds" in _denied with input as document
		}
	}
}

test_missing_recipients_or_address_are_denied if {
	document := fixtures.set(fixtures.email, "/action/args/body", fixtures.wallet)
	every path in ["/facts/recipients", "/facts/recipients/0/listed"] {
		every changed in fixtures.broken(document, path) {
			"accumulation.solicits_funds" in _denied with input as changed
		}
	}
	"accumulation.solicits_funds" in _denied with input as fixtures.broken(_with_address("Hello."), "/run/address")[0]
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as fixtures.transfer
}
