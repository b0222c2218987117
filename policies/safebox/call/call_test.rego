package safebox.call_test

import data.safebox.call
import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in call.deny

_held contains reason.code if some reason in call.hold

_allowed if {
	count(call.allow) > 0
	count(call.deny) == 0
	count(call.hold) == 0
}

_token(number) := fixtures.amount(fixtures.token_asset, number)

_eth(number) := fixtures.amount("ETH", number)

_set(path, value) := fixtures.set(fixtures.call, path, value)

# The approval in the batch, of a spender nobody listed, changed so that it takes one back.
_back(changes) := json.patch(fixtures.call, array.concat(
	[
		{"op": "replace", "path": "/action/args/leaves/2/other", "value": fixtures.stranger},
		{"op": "replace", "path": "/facts/call/leaves/2/other/address", "value": fixtures.stranger},
		{"op": "replace", "path": "/facts/call/leaves/2/other/listed", "value": false},
		{"op": "replace", "path": "/facts/call/leaves/2/other/is_contract", "value": false},
		{"op": "replace", "path": "/facts/call/leaves/2/other/lookalike", "value": "router"},
		{"op": "replace", "path": "/facts/call/let", "value": []},
	],
	array.concat(
		[
		{"op": "replace", "path": sprintf("/action/args/leaves/2/%s", [field]), "value": value} |
			some field, value in changes
		],
		[{"op": "replace", "path": "/facts/call/leaves/2/token/standard", "value": object.get(changes, "standard", "erc20")}],
	),
))

_takes_back := [
	_back({"amount": _token(0)}),
	_back({"method": "increase_allowance", "amount": _token(0)}),
	_back({"method": "decrease_allowance", "amount": _token(999999)}),
	_back({"standard": "erc721", "method": "set_approval_for_all", "amount": null, "approved": false}),
	_back({
		"standard": "erc721",
		"method": "approve",
		"amount": null,
		"token_id": "7",
		"other": "0x0000000000000000000000000000000000000000",
	}),
]

test_one_of_each_within_the_mandate_is_allowed if _allowed with input as fixtures.call

test_taking_an_approval_back_is_always_allowed if {
	every document in _takes_back {
		_allowed with input as document
	}
}

test_another_kind_is_not_judged_here if {
	count(call.allow) == 0 with input as fixtures.transfer
	count(call.deny) == 0 with input as fixtures.transfer
}

test_without_a_wallet_or_parts_nothing_is_granted if {
	every path in ["/mandate/wallet", "/action/args/leaves", "/facts/call", "/facts/call/leaves"] {
		every document in fixtures.broken(fixtures.call, path) {
			"call.not_granted" in _denied with input as document
			not _allowed with input as document
		}
	}
	"call.not_granted" in _denied with input as _set("/action/args/leaves", [])
	"call.not_granted" in _denied with input as json.patch(
		fixtures.call,
		[{"op": "remove", "path": "/facts/call/leaves/3"}],
	)
}

# Whether each field is needed, and of its type: its code is given without it.
_needed(good, fields) if {
	every row in fields {
		every document in array.concat(fixtures.broken(good, row[0]), [fixtures.set(good, row[0], {"another": "type"})]) {
			row[1] in _denied with input as document
		}
	}
}

test_each_field_is_needed_and_of_its_type_1 if _needed(fixtures.call, [
	["/action/args/leaves/0/kind", "call.payee_not_listed"],
	["/action/args/leaves/0/other", "call.payee_not_listed"],
	["/facts/call/leaves/0/other", "call.payee_not_listed"],
	["/facts/call/leaves/0/other/listed", "call.payee_not_listed"],
	["/facts/call/leaves/0/other/address", "call.payee_not_listed"],
	["/facts/call/leaves/1/other/listed", "call.payee_not_listed"],
	["/facts/call/leaves/0/other", "call.payee_lookalike"],
	["/facts/call/leaves/1/other", "call.payee_lookalike"],
	["/facts/call/leaves/0/burns", "call.payee_burns"],
	["/facts/call/leaves/2/burns", "call.payee_burns"],
])

test_each_field_is_needed_and_of_its_type_2 if _needed(fixtures.call, [
	["/facts/call/leaves/0/other/self", "call.to_self"],
	["/facts/call/leaves/1/other/self", "call.to_self"],
	["/run/address", "call.to_self"],
	["/facts/call/leaves/1/owner_self", "call.foreign_owner"],
	["/facts/call/leaves/2/owner_self", "call.foreign_owner"],
	["/action/args/leaves/1/kind", "call.token_not_listed"],
	["/action/args/leaves/1/contract", "call.token_not_listed"],
	["/action/args/leaves/1/standard", "call.token_not_listed"],
	["/facts/call/leaves/1/token", "call.token_not_listed"],
	["/facts/call/leaves/1/token/listed", "call.token_not_listed"],
])

test_each_field_is_needed_and_of_its_type_3 if _needed(fixtures.call, [
	["/facts/call/leaves/1/token/decimals", "call.token_not_listed"],
	["/facts/call/leaves/1/token/address", "call.token_not_listed"],
	["/facts/call/leaves/1/token/standard", "call.token_not_listed"],
	["/facts/call/leaves/2/token/listed", "call.token_not_listed"],
	["/action/args/leaves/2/kind", "call.spender_not_listed"],
	["/action/args/leaves/2/other", "call.spender_not_listed"],
	["/facts/call/leaves/2/other", "call.spender_not_listed"],
	["/facts/call/leaves/2/other/listed", "call.spender_not_listed"],
	["/facts/call/leaves/2/other/self", "call.spender_not_listed"],
	["/facts/call/leaves/2/other/address", "call.spender_not_listed"],
])

test_each_field_is_needed_and_of_its_type_4 if _needed(fixtures.call, [
	["/facts/call/leaves/2/other/is_contract", "call.spender_no_contract"],
	["/facts/call/leaves/2/other", "call.spender_lookalike"],
	["/action/args/leaves/2/method", "call.for_all"],
	["/action/args/leaves/2/amount", "call.unlimited"],
	["/action/args/leaves/2/amount/units", "call.unlimited"],
	["/action/args/leaves/3/kind", "call.contract_not_listed"],
	["/action/args/leaves/3/contract", "call.contract_not_listed"],
	["/facts/call/leaves/3/contract", "call.contract_not_listed"],
	["/facts/call/leaves/3/contract/listed", "call.contract_not_listed"],
	["/facts/call/leaves/3/contract/address", "call.contract_not_listed"],
])

test_each_field_is_needed_and_of_its_type_5 if _needed(fixtures.call, [
	["/facts/call/leaves/3/contract/function_listed", "call.function_not_listed"],
	["/action/args/leaves/0/carriers", "call.carrier_not_listed"],
	["/action/args/leaves/0/carriers/0/address", "call.carrier_not_listed"],
	["/action/args/leaves/0/carriers/0/method", "call.carrier_not_listed"],
	["/facts/call/leaves/0/carriers", "call.carrier_not_listed"],
	["/facts/call/leaves/3/carriers/0/listed", "call.carrier_not_listed"],
	["/facts/call/leaves/3/addresses_listed", "call.address_not_listed"],
	["/facts/call/leaves/0/addresses_listed", "call.address_not_listed"],
	["/facts/call/is_contract", "call.no_code"],
	["/facts/call/leaves/1/token/is_contract", "call.no_code"],
])

test_each_field_is_needed_and_of_its_type_6 if _needed(fixtures.call, [
	["/facts/call/leaves/3/contract/is_contract", "call.no_code"],
	["/action/args/leaves/3/value", "call.over_value"],
	["/facts/call/leaves/3/contract/value", "call.over_value"],
	["/facts/call/moved", "call.over_per_transfer"],
	["/facts/call/moved/0/asset", "call.over_per_transfer"],
	["/facts/call/moved/1/units", "call.over_per_transfer"],
	["/mandate/wallet/per_transfer", "call.over_per_transfer"],
	["/mandate/tokens", "call.over_per_transfer"],
	["/mandate/tokens/0/per_transfer", "call.over_per_transfer"],
	["/facts/call/let", "call.over_per_approval"],
])

test_each_field_is_needed_and_of_its_type_7 if _needed(fixtures.call, [
	["/facts/call/let/0/units", "call.over_per_approval"],
	["/mandate/tokens", "call.over_per_approval"],
	["/mandate/tokens/0/per_approval", "call.over_per_approval"],
	["/facts/money", "call.over_budget"],
	["/facts/money/priced", "call.over_budget"],
	["/facts/money/charges", "call.over_budget"],
	["/facts/money/charges/0/units", "call.over_budget"],
	["/facts/money/charges/1/remaining", "call.over_budget"],
	["/facts/call/moved", "call.over_budget"],
	["/facts/call/let", "call.over_budget"],
])

test_each_field_is_needed_and_of_its_type_8 if _needed(fixtures.call, [
	["/mandate/wallet/budget", "call.over_budget"],
	["/mandate/wallet/chain_id", "call.wrong_chain"],
	["/facts/wallet", "call.wrong_chain"],
	["/facts/wallet/chain_id", "call.wrong_chain"],
	["/facts/frozen", "call.frozen"],
])

_capped := json.patch(fixtures.call, [
	{"op": "replace", "path": "/mandate/wallet/per_hour", "value": _eth(400600)},
	{"op": "replace", "path": "/mandate/wallet/per_day", "value": _eth(400600)},
])

test_caps_of_an_hour_and_a_day_count_the_ether if {
	_allowed with input as _capped
	"call.over_per_hour" in _denied with input as fixtures.set(_capped, "/mandate/wallet/per_hour", _eth(400599))
	"call.over_per_day" in _denied with input as fixtures.set(_capped, "/mandate/wallet/per_day", _eth(400599))
	"call.over_per_hour" in _denied with input as fixtures.set(_capped, "/facts/money/charges/0/hour", fixtures.units(400601))
	_needed(_capped, [
		["/facts/money/charges", "call.over_per_hour"],
		["/facts/money/charges/0/asset", "call.over_per_hour"],
		["/facts/money/charges/1/asset", "call.over_per_hour"],
		["/facts/money/charges/0/hour", "call.over_per_hour"],
		["/facts/money/charges/0/day", "call.over_per_day"],
	])
}

test_every_broken_threshold_holds_or_denies if {
	every path in ["/mandate/wallet/approve_above", "/mandate/wallet/challenge_above"] {
		document := fixtures.set(fixtures.call, path, {"another": "type"})
		count(_held) > 0 with input as document
	}
	"call.approve_above" in _held with input as _set("/mandate/wallet/approve_above", _eth(400599))
	"call.challenge_above" in _held with input as _set("/mandate/wallet/challenge_above", _eth(400599))
	_allowed with input as _set("/mandate/wallet/approve_above", null)
}

test_terms_of_holds_are_those_of_payments if {
	terms := call.hold_terms with input as fixtures.call
	terms["call.approve_above"].approvals == 2
	terms["call.challenge_above"].challenge_s == 600
}

test_fees_are_capped_by_the_mandate_or_else_by_the_pack if {
	"call.fee_cap" in _denied with input as _set("/action/args/max_fee_per_gas", _eth(51))
	_allowed with input as _set("/action/args/max_fee_per_gas", null)
	_allowed with input as _set("/mandate/wallet/max_fee_per_gas", null)
	dear := json.patch(fixtures.call, [
		{"op": "replace", "path": "/mandate/wallet/max_fee_per_gas", "value": null},
		{"op": "replace", "path": "/action/args/max_fee_per_gas", "value": _eth(500000000001)},
	])
	"call.fee_cap" in _denied with input as dear
	_needed(fixtures.call, [
		["/mandate/wallet/max_fee_per_gas/units", "call.fee_cap"],
		["/action/args/max_fee_per_gas/units", "call.fee_cap"],
	])
}

test_what_is_not_within_the_mandate_has_its_code if {
	every row in [
		["/facts/call/leaves/1/token/standard", "erc721", "call.token_not_listed"],
		["/action/args/leaves/0/other", fixtures.stranger, "call.payee_not_listed"],
		["/facts/call/leaves/0/other/lookalike", "landlord", "call.payee_lookalike"],
		["/facts/call/leaves/0/burns", true, "call.payee_burns"],
		["/facts/call/leaves/0/other/self", true, "call.to_self"],
		["/action/args/leaves/0/other", fixtures.wallet, "call.to_self"],
		["/facts/call/leaves/1/owner_self", false, "call.foreign_owner"],
		["/action/args/leaves/2/method", "set_approval_for_all", "call.for_all"],
		["/action/args/leaves/2/amount", _token(79228162514264337593543950335), "call.unlimited"],
		["/facts/call/leaves/3/contract/function_listed", false, "call.function_not_listed"],
		["/facts/call/leaves/2/carriers/0/address", fixtures.stranger, "call.carrier_not_listed"],
		["/action/args/leaves/3/value", _eth(301), "call.over_value"],
		["/facts/call/moved/0", _eth(1001), "call.over_per_transfer"],
		["/facts/call/moved/1", _token(401), "call.over_per_transfer"],
		["/facts/call/let/0", _token(501), "call.over_per_approval"],
		["/facts/money/charges/1/remaining", fixtures.units(499), "call.over_budget"],
		["/facts/money/charges/1/units", fixtures.units(299), "call.over_budget"],
		["/facts/wallet/chain_id", 1, "call.wrong_chain"],
		["/facts/frozen", true, "call.frozen"],
	] {
		row[2] in _denied with input as _set(row[0], row[1])
	}
}

test_a_function_without_ether_needs_no_cap_of_it if {
	_allowed with input as json.patch(fixtures.call, [
		{"op": "replace", "path": "/action/args/leaves/3/value", "value": _eth(0)},
		{"op": "replace", "path": "/facts/call/leaves/3/contract/value", "value": null},
	])
}

# What permit2 carries out needs no listing; whom it lets take what does.
test_permit2_may_carry_out_what_the_pack_lets_it if {
	_allowed with input as json.patch(fixtures.call, [
		{"op": "replace", "path": "/action/args/leaves/2/carriers/0/address", "value": fixtures.permit2},
		{"op": "replace", "path": "/facts/call/leaves/2/carriers/0/address", "value": fixtures.permit2},
		{"op": "replace", "path": "/facts/call/leaves/2/carriers/0/listed", "value": false},
	])
}

test_without_a_fee_asked_for_it_is_known_whether_there_is_a_cap if {
	document := _set("/action/args/max_fee_per_gas", null)
	_allowed with input as document
	_allowed with input as fixtures.set(document, "/mandate/wallet/max_fee_per_gas", null)
	every unknown in [
		fixtures.broken(document, "/mandate/wallet/max_fee_per_gas")[0],
		fixtures.set(document, "/mandate/wallet/max_fee_per_gas", "2 wei"),
	] {
		"call.fee_cap" in _denied with input as unknown
	}
}
