package safebox.money_test

import data.safebox.fixtures_test as fixtures
import data.safebox.money

_huge := "115792089237316195423570985008687907853269984665640564039457584007913129639935"

_huge_less_one := "115792089237316195423570985008687907853269984665640564039457584007913129639934"

test_equal_amounts_are_at_most_each_other if {
	money.at_most(fixtures.amount("ETH", 5), fixtures.amount("ETH", 5))
}

test_the_largest_amounts_are_compared_exactly if {
	money.at_most({"asset": "ETH", "units": _huge_less_one}, {"asset": "ETH", "units": _huge})
	not money.at_most({"asset": "ETH", "units": _huge}, {"asset": "ETH", "units": _huge_less_one})
}

test_amounts_beyond_64_bit_are_compared_exactly if {
	every pair in [
		["9007199254740992", "9007199254740993"],
		["18446744073709551615", "18446744073709551616"],
	] {
		less := {"asset": "ETH", "units": _padded(pair[0])}
		more := {"asset": "ETH", "units": _padded(pair[1])}
		money.at_most(less, more)
		not money.at_most(more, less)
	}
}

test_different_assets_are_never_compared if {
	not money.at_most(fixtures.amount("USD", 1), fixtures.amount("ETH", 5))
}

test_what_is_no_padded_text_is_no_amount if {
	every units in [null, 5, "5", "", true, [], {}, sprintf("%s0", [fixtures.units(5)]), _with_letter] {
		not money.at_most({"asset": "ETH", "units": units}, fixtures.amount("ETH", 5))
		not money.at_most(fixtures.amount("ETH", 0), {"asset": "ETH", "units": units})
	}
}

test_an_amount_with_a_field_missing_is_no_amount if {
	every path in ["/asset", "/units"] {
		every amount in fixtures.broken(fixtures.amount("ETH", 5), path) {
			not money.at_most(amount, fixtures.amount("ETH", 9))
			not money.at_most(fixtures.amount("ETH", 0), amount)
		}
	}
}

test_two_amounts_without_an_asset_are_not_compared if {
	not money.at_most(
		{"asset": null, "units": fixtures.units(1)},
		{"asset": null, "units": fixtures.units(2)},
	)
}

test_an_action_is_covered_when_every_charge_fits if {
	money.covered("inference") with input as fixtures.inference
}

test_an_action_that_charges_another_rail_is_not_covered if {
	not money.covered("wallet") with input as fixtures.inference
}

test_an_action_without_a_price_is_not_covered if {
	not money.covered("inference") with input as fixtures.set(fixtures.inference, "/facts/money/priced", false)
}

test_an_action_without_charges_is_not_covered if {
	not money.covered("inference") with input as fixtures.set(fixtures.inference, "/facts/money/charges", [])
}

test_what_charges_nothing_fits if {
	money.all_fit with input as fixtures.set(fixtures.inference, "/facts/money/charges", [])
	money.all_fit with input as fixtures.inference
}

test_what_is_more_than_is_left_or_without_a_price_fits_nowhere if {
	every document in array.concat(
		array.concat(
			fixtures.broken(fixtures.inference, "/facts/money/charges"),
			fixtures.broken(fixtures.inference, "/facts/money/priced"),
		),
		[
			fixtures.set(fixtures.inference, "/facts/money/priced", false),
			fixtures.set(fixtures.inference, "/facts/money/charges/0/remaining", fixtures.units(0)),
		],
	) {
		not money.all_fit with input as document
	}
}

test_nothing_is_an_amount_of_zeros if {
	money.nothing(fixtures.amount("ETH", 0))
	not money.nothing(fixtures.amount("ETH", 1))
	not money.nothing({"asset": "ETH", "units": ""})
	not money.nothing(null)
}

test_a_charge_covers_what_it_charges_for if {
	all := fixtures.amount("ETH", 421000)
	more := fixtures.amount("ETH", 421001)
	other := fixtures.amount("USD", 1)
	money.charged_for("wallet", all) with input as fixtures.transfer
	not money.charged_for("wallet", more) with input as fixtures.transfer
	not money.charged_for("wallet", other) with input as fixtures.transfer
	not money.charged_for("compute", all) with input as fixtures.transfer
}

test_a_rail_that_is_not_charged_is_not_charged_at_most_anything if {
	cap := fixtures.amount("ETH", 1000000)
	money.charged_at_most("wallet", cap) with input as fixtures.transfer
	not money.charged_at_most("wallet", cap) with input as fixtures.compute
	not money.charged_at_most("wallet", cap) with input as fixtures.email
	not money.charged_at_most("wallet", fixtures.amount("ETH", 420999)) with input as fixtures.transfer
	not money.charged_at_most("wallet", fixtures.amount("USD", 1000000)) with input as fixtures.transfer
}

_with_letter := sprintf("%sx", [substring(fixtures.units(5), 0, 77)])

_padded(digits) := sprintf("%s%s", [substring(fixtures.units(0), 0, 78 - count(digits)), digits])
