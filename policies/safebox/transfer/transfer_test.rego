package safebox.transfer_test

import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in data.safebox.transfer.deny

_all_broken(document, paths) := [changed |
	some path in paths
	some changed in fixtures.broken(document, path)
]

test_a_transfer_to_a_listed_payee_within_the_caps_is_allowed if {
	data.safebox.transfer.allow == {"transfer.pay"} with input as fixtures.transfer
	count(_denied) == 0 with input as fixtures.transfer
}

test_the_balance_may_be_read if {
	data.safebox.transfer.allow == {"transfer.balance"} with input as fixtures.balance
	count(_denied) == 0 with input as fixtures.balance
}

test_what_a_transfer_would_cost_may_be_asked_whoever_the_payee_and_whatever_the_amount if {
	every document in [
		fixtures.quote,
		fixtures.set(fixtures.quote, "/action/args/to", fixtures.stranger),
		fixtures.set(fixtures.quote, "/action/args/to", fixtures.wallet),
		fixtures.set(fixtures.quote, "/action/args/amount", fixtures.amount("ETH", 1000000000)),
		fixtures.set(fixtures.quote, "/facts/frozen", true),
	] {
		data.safebox.transfer.allow == {"transfer.quote"} with input as document
		count(_denied) == 0 with input as document
	}
}

test_a_quote_is_one_tool_of_one_kind if {
	every document in array.concat(
		_all_broken(fixtures.quote, ["/action/tool", "/action/kind"]),
		[
			fixtures.set(fixtures.quote, "/action/tool", "wallet.Quote"),
			fixtures.set(fixtures.quote, "/action/kind", "transfer"),
		],
	) {
		count(data.safebox.transfer.allow) == 0 with input as document
	}
}

test_the_owner_funds_the_runs_own_address if {
	data.safebox.transfer.allow == {"transfer.fund"} with input as fixtures.fund
	count(_denied) == 0 with input as fixtures.fund
}

test_the_owner_sweeps_to_the_owners_address if {
	data.safebox.transfer.allow == {"transfer.sweep"} with input as fixtures.sweep
	count(_denied) == 0 with input as fixtures.sweep
}

test_a_sweep_needs_no_grant_and_no_room_under_the_ceiling if {
	document := fixtures.set(
		fixtures.set(fixtures.sweep, "/mandate/wallet", null),
		"/facts/wallet/over_ceiling",
		true,
	)
	data.safebox.transfer.allow == {"transfer.sweep"} with input as document
	count(_denied) == 0 with input as document
}

test_an_agent_neither_funds_nor_sweeps if {
	every document in [fixtures.fund, fixtures.sweep] {
		every changed in array.concat(
			fixtures.broken(document, "/action/caller"),
			[fixtures.set(document, "/action/caller", "agent")],
		) {
			count(data.safebox.transfer.allow) == 0 with input as changed
		}
	}
}

test_money_moved_by_the_owner_goes_nowhere_else if {
	every document in [fixtures.fund, fixtures.sweep] {
		every changed in array.concat(
			_all_broken(document, ["/action/args", "/action/args/to"]),
			[fixtures.set(document, "/action/args/to", fixtures.stranger)],
		) {
			"transfer.payee_not_listed" in _denied with input as changed
			count(data.safebox.transfer.allow) == 0 with input as changed
		}
	}
}

test_funding_needs_to_know_the_runs_address if {
	every document in _all_broken(fixtures.fund, ["/run/address"]) {
		"transfer.payee_not_listed" in _denied with input as document
		nowhere := json.patch(document, [{"op": "replace", "path": "/action/args/to", "value": null}])
		"transfer.payee_not_listed" in _denied with input as nowhere
	}
}

test_sweeping_needs_to_know_the_owners_address if {
	every document in _all_broken(fixtures.sweep, ["/facts/wallet", "/facts/wallet/owner"]) {
		nowhere := json.patch(document, [{"op": "replace", "path": "/action/args/to", "value": null}])
		"transfer.payee_not_listed" in _denied with input as nowhere
	}
}

test_a_wallet_without_a_grant_is_denied if {
	every document in [fixtures.transfer, fixtures.balance, fixtures.fund] {
		every changed in fixtures.broken(document, "/mandate/wallet") {
			"transfer.not_granted" in _denied with input as changed
			count(data.safebox.transfer.allow) == 0 with input as changed
		}
	}
}

test_an_unlisted_payee_is_denied if {
	"transfer.payee_not_listed" in _denied with input as fixtures.set(fixtures.transfer, "/facts/payee/listed", false)
}

test_a_fact_about_another_payee_does_not_count if {
	document := fixtures.set(fixtures.transfer, "/action/args/to", fixtures.stranger)
	"transfer.payee_not_listed" in _denied with input as document
}

test_a_payee_with_a_field_missing_is_denied if {
	every document in _all_broken(fixtures.transfer, [
		"/action/args/to",
		"/facts/payee",
		"/facts/payee/address",
		"/facts/payee/listed",
	]) {
		"transfer.payee_not_listed" in _denied with input as document
	}
}

test_a_lookalike_is_denied if {
	document := fixtures.set(fixtures.transfer, "/facts/payee/lookalike", "landlord")
	"transfer.payee_lookalike" in _denied with input as document
}

test_a_missing_comparison_with_known_payees_is_denied if {
	every document in [
		fixtures.set(fixtures.transfer, "/facts/payee", null),
		fixtures.broken(fixtures.transfer, "/facts/payee")[0],
		fixtures.broken(fixtures.transfer, "/facts/payee/lookalike")[0],
	] {
		"transfer.payee_lookalike" in _denied with input as document
	}
}

test_a_transfer_to_itself_is_denied if {
	"transfer.to_self" in _denied with input as fixtures.set(fixtures.transfer, "/facts/payee/self", true)
	"transfer.to_self" in _denied with input as fixtures.set(fixtures.transfer, "/action/args/to", fixtures.wallet)
}

test_a_transfer_that_may_be_to_itself_is_denied if {
	every document in _all_broken(fixtures.transfer, ["/facts/payee", "/facts/payee/self", "/run/address"]) {
		"transfer.to_self" in _denied with input as document
	}
}

test_one_unit_over_the_cap_of_one_transfer_is_denied if {
	document := fixtures.set(fixtures.transfer, "/action/args/amount/units", fixtures.units(1001))
	"transfer.over_per_transfer" in _denied with input as document
}

test_another_asset_than_the_caps_is_denied if {
	document := fixtures.set(fixtures.transfer, "/action/args/amount/asset", "USD")
	"transfer.over_per_transfer" in _denied with input as document
	"transfer.over_budget" in _denied with input as document
}

test_a_cap_with_a_field_missing_is_denied if {
	every document in _all_broken(fixtures.transfer, [
		"/action/args/amount",
		"/action/args/amount/asset",
		"/action/args/amount/units",
		"/mandate/wallet/per_transfer",
		"/mandate/wallet/per_transfer/asset",
		"/mandate/wallet/per_transfer/units",
	]) {
		"transfer.over_per_transfer" in _denied with input as document
	}
}

# The transfer of the fixture takes 421000 at its worst; hour and day count it already.
_capped(window, cap, flow) := fixtures.set(
	fixtures.set(fixtures.transfer, concat("", ["/mandate/wallet/per_", window]), fixtures.amount("ETH", cap)),
	concat("", ["/facts/money/charges/0/", window]), fixtures.units(flow),
)

test_up_to_the_cap_of_a_window_is_allowed if {
	every window in ["hour", "day"] {
		count(_denied) == 0 with input as _capped(window, 500000, 500000)
	}
}

test_one_unit_over_the_cap_of_a_window_is_denied if {
	"transfer.over_per_hour" in _denied with input as _capped("hour", 499999, 500000)
	"transfer.over_per_day" in _denied with input as _capped("day", 499999, 500000)
}

test_a_cap_in_another_asset_is_denied if {
	document := fixtures.set(_capped("day", 500000, 1), "/mandate/wallet/per_day/asset", "USD")
	"transfer.over_per_day" in _denied with input as document
}

test_what_other_rails_took_does_not_count if {
	other := {"rail": "compute", "asset": "USD", "units": null, "remaining": null, "hour": null, "day": null}
	document := _capped("hour", 500000, 500000)
	charges := array.concat(document.facts.money.charges, [other])
	not "transfer.over_per_hour" in _denied with input as fixtures.set(document, "/facts/money/charges", charges)
}

test_a_window_with_a_field_missing_is_denied if {
	every document in _all_broken(_capped("hour", 500000, 1), [
		"/facts/money",
		"/facts/money/charges",
		"/facts/money/charges/0/rail",
		"/facts/money/charges/0/asset",
		"/facts/money/charges/0/hour",
		"/mandate/wallet/per_hour/units",
	]) {
		"transfer.over_per_hour" in _denied with input as document
	}
	every document in _all_broken(_capped("day", 500000, 1), [
		"/facts/money",
		"/facts/money/charges",
		"/facts/money/charges/0/rail",
		"/facts/money/charges/0/asset",
		"/facts/money/charges/0/day",
		"/mandate/wallet/per_day/units",
	]) {
		"transfer.over_per_day" in _denied with input as document
	}
}

test_the_whole_rest_of_the_budget_may_be_used if {
	document := fixtures.set(fixtures.transfer, "/facts/money/charges/0/remaining", fixtures.units(421000))
	count(_denied) == 0 with input as document
}

test_one_unit_more_than_the_rest_is_denied if {
	document := fixtures.set(fixtures.transfer, "/facts/money/charges/0/remaining", fixtures.units(420999))
	"transfer.over_budget" in _denied with input as document
}

test_a_charge_below_the_amount_is_denied if {
	document := fixtures.set(fixtures.transfer, "/facts/money/charges/0/units", fixtures.units(999))
	"transfer.over_budget" in _denied with input as document
}

test_a_budget_with_a_field_missing_is_denied if {
	every document in _all_broken(fixtures.transfer, [
		"/facts/money",
		"/facts/money/priced",
		"/facts/money/charges",
		"/facts/money/charges/0/rail",
		"/facts/money/charges/0/asset",
		"/facts/money/charges/0/units",
		"/facts/money/charges/0/remaining",
	]) {
		"transfer.over_budget" in _denied with input as document
	}
}

test_a_fee_at_the_mandates_cap_is_allowed if {
	document := fixtures.set(fixtures.transfer, "/action/args/max_fee_per_gas/units", fixtures.units(50))
	count(_denied) == 0 with input as document
}

test_a_fee_over_the_mandates_cap_is_denied if {
	document := fixtures.set(fixtures.transfer, "/action/args/max_fee_per_gas/units", fixtures.units(51))
	"transfer.fee_cap" in _denied with input as document
}

test_without_a_cap_in_the_mandate_the_packs_cap_counts if {
	open := fixtures.set(fixtures.transfer, "/mandate/wallet/max_fee_per_gas", null)
	cap := data.data.limits.transfer.max_fee_per_gas
	count(_denied) == 0 with input as fixtures.set(open, "/action/args/max_fee_per_gas", cap)
	over := fixtures.units(500000000001)
	"transfer.fee_cap" in _denied with input as fixtures.set(open, "/action/args/max_fee_per_gas/units", over)
}

test_a_fee_left_to_the_firewall_is_allowed if {
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/action/args/max_fee_per_gas", null)
}

test_a_fee_with_a_field_missing_is_denied if {
	every path in [
		"/action/args/max_fee_per_gas",
		"/action/args/max_fee_per_gas/asset",
		"/action/args/max_fee_per_gas/units",
		"/mandate/wallet/max_fee_per_gas",
		"/mandate/wallet/max_fee_per_gas/asset",
		"/mandate/wallet/max_fee_per_gas/units",
	] {
		"transfer.fee_cap" in _denied with input as fixtures.broken(fixtures.transfer, path)[0]
	}
}

test_the_wrong_chain_is_denied if {
	"transfer.wrong_chain" in _denied with input as fixtures.set(fixtures.transfer, "/facts/wallet/chain_id", 1)
}

test_a_chain_with_a_field_missing_is_denied if {
	every document in _all_broken(fixtures.transfer, [
		"/facts/wallet",
		"/facts/wallet/chain_id",
		"/mandate/wallet/chain_id",
	]) {
		"transfer.wrong_chain" in _denied with input as document
	}
	both := fixtures.set(fixtures.set(fixtures.transfer, "/facts/wallet/chain_id", null), "/mandate/wallet/chain_id", null)
	"transfer.wrong_chain" in _denied with input as both
}

test_a_wallet_over_its_ceiling_receives_nothing if {
	document := fixtures.set(fixtures.fund, "/facts/wallet/over_ceiling", true)
	"transfer.over_ceiling_receive" in _denied with input as document
}

test_a_wallet_over_its_ceiling_may_still_pay if {
	count(_denied) == 0 with input as fixtures.set(fixtures.transfer, "/facts/wallet/over_ceiling", true)
}

test_a_wallet_without_a_ceiling_receives if {
	document := fixtures.set(
		fixtures.set(fixtures.fund, "/mandate/wallet/ceiling", null),
		"/facts/wallet/over_ceiling",
		null,
	)
	count(_denied) == 0 with input as document
}

test_a_ceiling_that_cannot_be_compared_receives_nothing if {
	every document in _all_broken(fixtures.fund, ["/facts/wallet", "/facts/wallet/over_ceiling"]) {
		"transfer.over_ceiling_receive" in _denied with input as document
	}
}

test_other_kinds_are_none_of_its_business if {
	count(_denied) == 0 with input as fixtures.email
	count(data.safebox.transfer.allow) == 0 with input as fixtures.email
}

test_a_frozen_wallet_pays_nobody if {
	"transfer.frozen" in _denied with input as fixtures.set(fixtures.transfer, "/facts/frozen", true)
}

test_a_wallet_not_known_to_be_free_pays_nobody if {
	every document in _all_broken(fixtures.transfer, ["/facts", "/facts/frozen"]) {
		"transfer.frozen" in _denied with input as document
	}
}

test_a_frozen_wallet_is_still_read_funded_and_swept if {
	every document in [fixtures.balance, fixtures.fund, fixtures.sweep] {
		count(_denied) == 0 with input as fixtures.set(document, "/facts/frozen", true)
	}
}

_held contains reason.code if some reason in data.safebox.transfer.hold

_taking(units) := fixtures.set(fixtures.transfer, "/facts/money/charges", [{
	"rail": "wallet",
	"asset": "ETH",
	"units": fixtures.units(units),
	"remaining": fixtures.units(1000000),
}])

test_a_payment_at_a_threshold_does_not_wait_for_it if {
	count(_held) == 0 with input as _taking(500000)
	_held == {"transfer.challenge_above"} with input as _taking(500001)
	_held == {"transfer.challenge_above"} with input as _taking(800000)
	"transfer.challenge_above" in _held with input as _taking(800001)
	"transfer.approve_above" in _held with input as _taking(800001)
}

test_no_threshold_holds_nothing if {
	document := fixtures.set(
		fixtures.set(_taking(1000000), "/mandate/wallet/approve_above", null),
		"/mandate/wallet/challenge_above",
		null,
	)
	count(_held) == 0 with input as document
}

test_a_payment_whose_cost_or_threshold_is_not_known_waits if {
	every path in ["/facts/money", "/facts/money/charges", "/facts/money/charges/0/units", "/facts/money/charges/0/rail"] {
		every document in fixtures.broken(fixtures.transfer, path) {
			_held == {"transfer.challenge_above", "transfer.approve_above"} with input as document
		}
	}
	every code in ["approve_above", "challenge_above"] {
		path := sprintf("/mandate/wallet/%s", [code])
		every document in [
			json.patch(fixtures.transfer, [{"op": "remove", "path": path}]),
			fixtures.set(fixtures.transfer, path, fixtures.amount("USD", 900000)),
			fixtures.set(fixtures.transfer, path, "0.5 ETH"),
		] {
			sprintf("transfer.%s", [code]) in _held with input as document
		}
	}
}

test_two_charges_that_are_each_within_a_threshold_are_within_it_and_one_that_is_not_is_not if {
	charges := [
		fixtures.charge("wallet", "ETH", 400000, 1000000),
		fixtures.charge("compute", "USD", 900000, 1000000),
		fixtures.charge("wallet", "ETH", 600000, 1000000),
	]
	_held == {"transfer.challenge_above"} with input as fixtures.set(fixtures.transfer, "/facts/money/charges", charges)
}

test_nothing_but_payments_waits_for_a_threshold if {
	every document in [fixtures.fund, fixtures.sweep, fixtures.balance, fixtures.email] {
		count(_held) == 0 with input as document
	}
}

test_the_mandate_says_who_is_asked_and_how_long if {
	data.safebox.transfer.hold_terms == {
		"transfer.approve_above": {"group": "owners", "approvals": 2, "expires_s": 3600},
		"transfer.challenge_above": {"group": "owners", "challenge_s": 600, "expires_s": 3600},
	} with input as fixtures.transfer
	every document in fixtures.broken(fixtures.transfer, "/mandate/approvals") {
		not data.safebox.transfer.hold_terms with input as document
	}
}

test_terms_of_which_a_part_is_missing_are_not_replaced_by_milder_ones if {
	parts := {"group": "group", "needed": "approvals", "expires_s": "expires_s"}
	every name, term in parts {
		document := json.patch(fixtures.transfer, [{"op": "remove", "path": sprintf("/mandate/approvals/%s", [name])}])
		terms := data.safebox.transfer.hold_terms["transfer.approve_above"] with input as document
		terms[term] == null
	}
}

test_a_fee_of_the_firewalls_choosing_needs_a_cap_that_can_be_read if {
	document := fixtures.set(fixtures.transfer, "/action/args/max_fee_per_gas", null)
	not "transfer.fee_cap" in _denied with input as document
	not "transfer.fee_cap" in _denied with input as fixtures.set(document, "/mandate/wallet/max_fee_per_gas", null)
	"transfer.fee_cap" in _denied with input as fixtures.set(document, "/mandate/wallet/max_fee_per_gas", "50 wei")
}

test_without_a_ceiling_nothing_is_over_it if {
	document := fixtures.set(fixtures.fund, "/mandate/wallet/ceiling", null)
	every over in [null, false] {
		not "transfer.over_ceiling_receive" in _denied
			with input as fixtures.set(document, "/facts/wallet/over_ceiling", over)
	}
	"transfer.over_ceiling_receive" in _denied
		with input as fixtures.set(document, "/facts/wallet/over_ceiling", "no")
	"transfer.over_ceiling_receive" in _denied with input as fixtures.set(fixtures.fund, "/mandate/wallet/ceiling", "1")
}

test_a_listed_token_is_lent_and_taken_home if {
	data.safebox.transfer.allow == {"transfer.fund"} with input as fixtures.fund_token
	count(_denied) == 0 with input as fixtures.fund_token
	data.safebox.transfer.allow == {"transfer.sweep"} with input as fixtures.sweep_token
	count(_denied) == 0 with input as fixtures.sweep_token
}

test_a_token_that_is_not_listed_is_neither_lent_nor_taken_home if {
	every document in [fixtures.fund_token, fixtures.sweep_token] {
		every changed in array.concat(
			_all_broken(document, [
				"/action/args/amount/asset",
				"/mandate/tokens",
				"/mandate/tokens/0/address",
				"/mandate/tokens/0/standard",
			]),
			[
				fixtures.set(document, "/mandate/tokens", []),
				fixtures.set(document, "/mandate/tokens/0/address", fixtures.stranger),
				fixtures.set(document, "/mandate/tokens/0/standard", "erc721"),
				fixtures.set(document, "/action/args/amount/asset", "USD"),
			],
		) {
			"transfer.token_not_listed" in _denied with input as changed
		}
	}
}

test_a_run_is_lent_at_most_what_its_mandate_grants if {
	every document in [
		fixtures.set(fixtures.fund, "/action/args/amount", fixtures.amount("ETH", 1000001)),
		fixtures.set(fixtures.fund_token, "/action/args/amount/units", fixtures.units(1001)),
	] {
		_denied == {"transfer.fund_over_grant"} with input as document
	}
}

test_a_grant_with_a_field_missing_lends_nothing if {
	every document in array.concat(
		_all_broken(fixtures.fund, ["/action/args/amount", "/action/args/amount/units", "/mandate/wallet/budget"]),
		_all_broken(fixtures.fund_token, ["/action/args/amount/units", "/mandate/tokens/0/budget"]),
	) {
		"transfer.fund_over_grant" in _denied with input as document
	}
}

test_a_wallet_over_a_tokens_ceiling_receives_no_more_of_it if {
	every document in array.concat(
		_all_broken(fixtures.fund_token, ["/facts/wallet/over_ceiling"]),
		[
			fixtures.set(fixtures.fund_token, "/facts/wallet/over_ceiling", true),
			fixtures.set(fixtures.fund_token, "/mandate/tokens/0/ceiling", "1"),
			fixtures.broken(fixtures.fund_token, "/mandate/tokens/0/ceiling")[0],
		],
	) {
		"transfer.over_ceiling_receive" in _denied with input as document
	}
	free := fixtures.set(fixtures.fund_token, "/mandate/tokens/0/ceiling", null)
	every over in [null, false] {
		count(_denied) == 0 with input as fixtures.set(free, "/facts/wallet/over_ceiling", over)
	}
}

test_a_token_comes_home_from_a_wallet_that_is_full if {
	count(_denied) == 0 with input as fixtures.set(fixtures.sweep_token, "/facts/wallet/over_ceiling", true)
}
