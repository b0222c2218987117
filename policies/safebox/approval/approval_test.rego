package safebox.approval_test

import data.data.limits
import data.safebox.approval
import data.safebox.fixtures_test as fixtures

_denied contains reason.code if some reason in approval.deny

_allowed if {
	count(approval.allow) > 0
	count(approval.deny) == 0
}

_good := [fixtures.approve, fixtures.typed_data, fixtures.message, fixtures.sign_in]

_about_tokens := [fixtures.approve, fixtures.typed_data]

_amount(number) := fixtures.amount(fixtures.token_asset, number)

# A call that takes an approval back, of a spender nobody listed.
_back(changes) := json.patch(fixtures.approve, array.concat(
	[
		{"op": "replace", "path": "/action/args/spender", "value": fixtures.stranger},
		{"op": "replace", "path": "/facts/spender/address", "value": fixtures.stranger},
		{"op": "replace", "path": "/facts/spender/name", "value": null},
		{"op": "replace", "path": "/facts/spender/listed", "value": false},
		{"op": "replace", "path": "/facts/spender/is_contract", "value": false},
		{"op": "replace", "path": "/facts/frozen", "value": true},
		{"op": "remove", "path": "/facts/money/charges/1"},
	],
	array.concat(
		[{"op": "replace", "path": sprintf("/action/args/%s", [field]), "value": value} | some field, value in changes],
		[{"op": "replace", "path": "/facts/token/standard", "value": object.get(changes, "standard", "erc20")}],
	),
))

_takes_back := [
	_back({"amount": _amount(0)}),
	_back({"method": "increase_allowance", "amount": _amount(0)}),
	_back({"method": "decrease_allowance", "amount": _amount(999999)}),
	_back({"standard": "erc721", "method": "set_approval_for_all", "amount": null, "approved": false}),
	_back({"standard": "erc1155", "method": "set_approval_for_all", "amount": null, "approved": false}),
]

_revoke_of_one := json.patch(
	_back({"standard": "erc721", "method": "approve", "amount": null, "token_id": "7"}),
	[
		{"op": "replace", "path": "/action/args/spender", "value": "0x0000000000000000000000000000000000000000"},
		{
			"op": "replace",
			"path": "/facts/spender/address",
			"value": "0x0000000000000000000000000000000000000000",
		},
	],
)

test_what_fits_the_mandate_is_allowed if {
	every document in _good {
		_allowed with input as document
	}
}

test_more_of_an_allowance_is_allowed_like_an_approval if {
	_allowed with input as fixtures.set(fixtures.approve, "/action/args/method", "increase_allowance")
}

test_taking_an_approval_back_is_always_allowed if {
	every document in _takes_back {
		_allowed with input as document
	}
	_allowed with input as _revoke_of_one
}

test_taking_back_needs_money_for_the_fee if {
	every document in _takes_back {
		changed := fixtures.set(document, "/facts/money/charges/0/remaining", fixtures.units(1))
		"approval.over_budget" in _denied with input as changed
	}
}

test_without_a_grant_nothing_is_signed if {
	every pair in [
		[fixtures.approve, "/mandate/wallet"],
		[fixtures.approve, "/mandate/tokens"],
		[fixtures.typed_data, "/mandate/wallet"],
		[fixtures.typed_data, "/mandate/tokens"],
		[fixtures.message, "/mandate/signing"],
		[fixtures.sign_in, "/mandate/signing"],
	] {
		every document in fixtures.broken(pair[0], pair[1]) {
			"approval.not_granted" in _denied with input as document
			not _allowed with input as document
		}
	}
}

# Whether each field is needed, and of its type: its code is given without it.
_needed(good, fields) if {
	every row in fields {
		every document in array.concat(fixtures.broken(good, row[0]), [fixtures.set(good, row[0], {"another": "type"})]) {
			row[1] in _denied with input as document
		}
	}
}

test_each_field_of_an_approval_is_needed_and_of_its_type if _needed(fixtures.approve, [
	["/facts/token", "approval.token_not_listed"],
	["/facts/token/listed", "approval.token_not_listed"],
	["/facts/token/address", "approval.token_not_listed"],
	["/facts/token/decimals", "approval.token_not_listed"],
	["/facts/token/standard", "approval.token_not_listed"],
	["/action/args/standard", "approval.token_not_listed"],
	["/action/args/token", "approval.token_not_listed"],
	["/facts/spender", "approval.spender_not_listed"],
	["/facts/spender/listed", "approval.spender_not_listed"],
	["/facts/spender/self", "approval.spender_not_listed"],
	["/facts/spender/address", "approval.spender_not_listed"],
	["/action/args/spender", "approval.spender_not_listed"],
	["/facts/spender/is_contract", "approval.spender_no_contract"],
	["/action/args/method", "approval.for_all"],
	["/action/args/amount", "approval.unlimited"],
	["/action/args/amount/units", "approval.unlimited"],
	["/action/args/amount", "approval.over_per_approval"],
	["/mandate/tokens/0/per_approval", "approval.over_per_approval"],
	["/facts/money/charges", "approval.over_budget"],
	["/facts/money/priced", "approval.over_budget"],
	["/facts/money/charges/1/remaining", "approval.over_budget"],
	["/mandate/wallet/chain_id", "approval.wrong_chain"],
	["/facts/wallet/chain_id", "approval.wrong_chain"],
	["/facts/frozen", "approval.frozen"],
	["/facts/money/charges/0/asset", "approval.over_budget"],
	["/mandate/wallet/budget", "approval.over_budget"],
])

test_each_field_of_typed_data_is_needed_and_of_its_type if _needed(fixtures.typed_data, [
	["/facts/signature/takings/0/token/standard", "approval.token_not_listed"],
	["/facts/signature/takings", "approval.token_not_listed"],
	["/facts/signature/takings/0/token/listed", "approval.token_not_listed"],
	["/facts/signature/takings/0/token/decimals", "approval.token_not_listed"],
	["/facts/signature/takings", "approval.spender_not_listed"],
	["/facts/signature/takings/0/spender/listed", "approval.spender_not_listed"],
	["/facts/signature/takings/0/spender/self", "approval.spender_not_listed"],
	["/facts/signature/takings/0/spender/is_contract", "approval.spender_no_contract"],
	["/facts/signature/takings/0/amount", "approval.unlimited"],
	["/facts/signature/totals", "approval.over_per_approval"],
	["/facts/signature/totals", "approval.over_budget"],
	["/facts/signature/chain_id", "approval.wrong_chain"],
	["/facts/signature", "approval.standard_not_allowed"],
	["/facts/signature/standard", "approval.standard_not_allowed"],
	["/facts/signature/contract", "approval.wrong_contract"],
	["/facts/signature/valid_s", "approval.valid_too_long"],
	["/facts/signature/signer_self", "approval.wrong_signer"],
	["/action/args/digest", "approval.standard_not_allowed"],
	["/facts/signature/digest", "approval.standard_not_allowed"],
])

test_each_field_of_a_message_is_needed_and_of_its_type if _needed(fixtures.message, [
	["/facts/frozen", "approval.frozen"],
	["/action/args/digest", "approval.message_not_text"],
	["/facts/signature/digest", "approval.message_not_text"],
	["/action/args/method", "approval.eth_sign"],
	["/facts/signature", "approval.message_not_text"],
	["/facts/signature/standard", "approval.message_not_text"],
	["/action/args/text", "approval.message_not_text"],
	["/action/args/size", "approval.message_not_text"],
	["/facts/signature/message_listed", "approval.message_not_listed"],
])

test_each_field_of_a_sign_in_is_needed_and_of_its_type if _needed(fixtures.sign_in, [
	["/facts/signature/signer_self", "approval.wrong_signer"],
	["/facts/signature/domain", "approval.sign_in_not_listed"],
	["/facts/signature/domain_listed", "approval.sign_in_not_listed"],
	["/facts/signature/chain_id", "approval.sign_in_not_listed"],
	["/mandate/wallet/chain_id", "approval.sign_in_not_listed"],
])

test_a_lookalike_is_denied_and_so_is_not_knowing if {
	every pair in [
		[fixtures.approve, "/facts/spender/lookalike"],
		[fixtures.typed_data, "/facts/signature/takings/0/spender/lookalike"],
	] {
		every document in [
			fixtures.set(pair[0], pair[1], "landlord"),
			json.patch(pair[0], [{"op": "remove", "path": pair[1]}]),
		] {
			"approval.spender_lookalike" in _denied with input as document
		}
	}
}

test_an_unlisted_token_or_spender_is_denied if {
	every row in [
		[fixtures.approve, "/facts/token/listed", false, "approval.token_not_listed"],
		[fixtures.typed_data, "/facts/signature/takings/0/token/listed", false, "approval.token_not_listed"],
		[fixtures.approve, "/facts/spender/listed", false, "approval.spender_not_listed"],
		[fixtures.approve, "/facts/spender/self", true, "approval.spender_not_listed"],
		[fixtures.typed_data, "/facts/signature/takings/0/spender/listed", false, "approval.spender_not_listed"],
		[fixtures.approve, "/facts/spender/is_contract", false, "approval.spender_no_contract"],
	] {
		row[3] in _denied with input as fixtures.set(row[0], row[1], row[2])
	}
	"approval.token_not_listed" in _denied with input as fixtures.set(fixtures.approve, "/facts/token/listed", false)
	"approval.spender_not_listed" in _denied with input as fixtures.set(fixtures.approve, "/facts/spender/self", true)
}

test_nothing_to_take_is_no_permit if {
	document := json.patch(fixtures.typed_data, [
		{"op": "replace", "path": "/facts/signature/takings", "value": []},
		{"op": "replace", "path": "/facts/signature/totals", "value": []},
	])
	{"approval.token_not_listed", "approval.spender_not_listed", "approval.over_budget"} - _denied == set() with input as document
}

# approve(address,uint256) is an amount for one standard and the name of a thing for another: an approval of nothing in
# the one gives away thing number 0 in the other.
test_a_call_is_read_by_the_standard_the_owner_named if {
	every document in _takes_back {
		every standard in {"erc20", "erc721", "erc1155"} - {document.action.args.standard} {
			changed := fixtures.set(document, "/facts/token/standard", standard)
			"approval.token_not_listed" in _denied with input as changed
		}
	}
	"approval.token_not_listed" in _denied with input as fixtures.set(
		fixtures.typed_data,
		"/facts/signature/takings/0/token/standard", "erc721",
	)
}

test_an_approval_for_all_is_denied if {
	every standard in ["erc721", "erc1155"] {
		document := json.patch(fixtures.approve, [
			{"op": "replace", "path": "/action/args/standard", "value": standard},
			{"op": "replace", "path": "/action/args/method", "value": "set_approval_for_all"},
			{"op": "replace", "path": "/action/args/approved", "value": true},
			{"op": "replace", "path": "/action/args/amount", "value": null},
		])
		"approval.for_all" in _denied with input as document
	}
}

test_an_approval_of_one_collectible_is_no_amount_and_denied if {
	document := json.patch(fixtures.approve, [
		{"op": "replace", "path": "/action/args/standard", "value": "erc721"},
		{"op": "replace", "path": "/action/args/token_id", "value": "7"},
		{"op": "replace", "path": "/action/args/amount", "value": null},
	])
	"approval.over_budget" in _denied with input as document
}

test_an_amount_programs_take_for_no_limit_is_denied if {
	largest := {"asset": fixtures.token_asset, "units": limits.approval.unlimited}
	every pair in [
		[fixtures.approve, "/action/args/amount"],
		[fixtures.typed_data, "/facts/signature/takings/0/amount"],
	] {
		"approval.unlimited" in _denied with input as fixtures.set(pair[0], pair[1], largest)
	}
}

test_one_approval_is_within_its_cap if {
	every pair in [[fixtures.approve, "/action/args/amount"], [fixtures.typed_data, "/facts/signature/totals/0"]] {
		"approval.over_per_approval" in _denied with input as fixtures.set(pair[0], pair[1], _amount(501))
	}
}

test_what_is_approved_is_charged_and_fits if {
	every document in _about_tokens {
		charges := [charge |
			some charge in document.facts.money.charges
			charge.asset != fixtures.token_asset
		]
		less := array.concat(charges, [fixtures.charge("wallet", fixtures.token_asset, 499, 1000)])
		much := array.concat(charges, [fixtures.charge("wallet", fixtures.token_asset, 500, 499)])
		every wrong in [charges, less, much, []] {
			"approval.over_budget" in _denied with input as fixtures.set(document, "/facts/money/charges", wrong)
		}
	}
}

test_a_fee_counts_within_the_caps_of_an_hour_and_a_day if {
	every window in ["hour", "day"] {
		capped := fixtures.set(
			fixtures.approve,
			sprintf("/mandate/wallet/per_%s", [window]), fixtures.amount("ETH", 120000),
		)
		_allowed with input as capped
		changed := fixtures.set(capped, sprintf("/facts/money/charges/0/%s", [window]), fixtures.units(120001))
		"approval.over_budget" in _denied with input as changed
		missing := json.patch(capped, [{"op": "remove", "path": sprintf("/mandate/wallet/per_%s", [window])}])
		"approval.over_budget" in _denied with input as missing
	}
}

test_another_chain_is_denied if {
	"approval.wrong_chain" in _denied with input as fixtures.set(fixtures.approve, "/facts/wallet/chain_id", 1)
	"approval.wrong_chain" in _denied with input as fixtures.set(
		fixtures.typed_data,
		"/facts/signature/chain_id", 1,
	)
}

test_a_fee_is_within_the_mandates_cap_or_the_packs if {
	without := fixtures.set(fixtures.approve, "/mandate/wallet/max_fee_per_gas", null)
	_allowed with input as without
	_allowed with input as fixtures.set(fixtures.approve, "/action/args/max_fee_per_gas", null)
	over := fixtures.amount("ETH", 500000000001)
	every document in [
		fixtures.set(fixtures.approve, "/action/args/max_fee_per_gas", fixtures.amount("ETH", 51)),
		fixtures.set(without, "/action/args/max_fee_per_gas", over),
		json.patch(fixtures.approve, [{"op": "remove", "path": "/action/args/max_fee_per_gas"}]),
		json.patch(fixtures.approve, [{"op": "remove", "path": "/mandate/wallet/max_fee_per_gas"}]),
	] {
		"approval.fee_cap" in _denied with input as document
	}
}

test_a_frozen_wallet_gives_nothing_away if {
	every document in _good {
		"approval.frozen" in _denied with input as fixtures.set(document, "/facts/frozen", true)
	}
}

test_typed_data_that_is_no_permit_is_denied if {
	every standard in ["unknown", "dai_permit", "seaport", "safe", "erc2771", "erc4337", "erc7710", "text", ""] {
		document := fixtures.set(fixtures.typed_data, "/facts/signature/standard", standard)
		"approval.standard_not_allowed" in _denied with input as document
		"approval.wrong_contract" in _denied with input as document
	}
}

test_a_permit_is_for_the_contract_that_checks_it if {
	"approval.wrong_contract" in _denied with input as fixtures.set(
		fixtures.typed_data,
		"/facts/signature/contract", fixtures.permit2,
	)
	every standard in limits.approval.standards {
		document := json.patch(fixtures.typed_data, [
			{"op": "replace", "path": "/facts/signature/standard", "value": standard},
			{"op": "replace", "path": "/facts/signature/contract", "value": _contract(standard)},
		])
		_allowed with input as document
		"approval.wrong_contract" in _denied with input as fixtures.set(
			document,
			"/facts/signature/contract", fixtures.stranger,
		)
	}
}

_contract(standard) := fixtures.token if standard in {"eip2612", "eip3009"}

_contract(standard) := fixtures.permit2 if startswith(standard, "permit2_")

test_who_is_paid_at_once_may_be_anybody_listed if {
	document := json.patch(fixtures.typed_data, [
		{"op": "replace", "path": "/facts/signature/standard", "value": "eip3009"},
		{"op": "replace", "path": "/facts/signature/takings/0/role", "value": "payee"},
		{"op": "replace", "path": "/facts/signature/takings/0/spender/is_contract", "value": false},
	])
	_allowed with input as document
	"approval.spender_no_contract" in _denied with input as fixtures.set(
		document,
		"/facts/signature/takings/0/role", "spender",
	)
}

test_a_permit_ends_soon_and_has_not_ended if {
	_allowed with input as fixtures.set(fixtures.typed_data, "/facts/signature/valid_s", limits.approval.valid_s)
	every seconds in [0, limits.approval.valid_s + 1, "600"] {
		document := fixtures.set(fixtures.typed_data, "/facts/signature/valid_s", seconds)
		"approval.valid_too_long" in _denied with input as document
	}
}

test_another_signer_is_denied if {
	every document in [fixtures.typed_data, fixtures.sign_in] {
		changed := fixtures.set(document, "/facts/signature/signer_self", false)
		"approval.wrong_signer" in _denied with input as changed
	}
}

test_eth_sign_is_denied if {
	every document in [fixtures.message, fixtures.sign_in] {
		"approval.eth_sign" in _denied with input as fixtures.set(document, "/action/args/method", "eth_sign")
	}
}

test_what_is_no_text_is_denied if {
	every standard in ["digest", "prefixed", "transaction", "binary", "eip2612", ""] {
		document := fixtures.set(fixtures.message, "/facts/signature/standard", standard)
		"approval.message_not_text" in _denied with input as document
	}
	"approval.message_not_text" in _denied with input as fixtures.set(
		fixtures.message,
		"/action/args/size", limits.approval.message_bytes + 1,
	)
}

test_an_unlisted_text_is_denied if {
	document := fixtures.set(fixtures.message, "/facts/signature/message_listed", false)
	"approval.message_not_listed" in _denied with input as document
}

test_an_unlisted_sign_in_is_denied if {
	every row in [["domain_listed", false], ["domain", null], ["chain_id", 1]] {
		document := fixtures.set(fixtures.sign_in, sprintf("/facts/signature/%s", [row[0]]), row[1])
		"approval.sign_in_not_listed" in _denied with input as document
	}
}
