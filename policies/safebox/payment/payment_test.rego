package safebox.payment_test

import data.safebox.fixtures_test as fixtures
import data.safebox.payment

_denied contains reason.code if some reason in payment.deny

_allowed if {
	count(payment.allow) > 0
	count(payment.deny) == 0
}

_amount(number) := fixtures.amount(fixtures.token_asset, number)

test_what_fits_the_mandate_is_paid if _allowed with input as fixtures.pay_request

test_a_run_without_a_web_grant_may_pay_for_any_host if {
	_allowed with input as json.patch(fixtures.pay_request, [
		{"op": "replace", "path": "/mandate/web", "value": null},
		{"op": "replace", "path": "/action/args/host", "value": "elsewhere.example.org"},
	])
}

test_another_value_is_denied if {
	every row in [
		["/mandate/wallet", null, "payment.not_granted"],
		["/mandate/tokens", null, "payment.not_granted"],
		["/facts/payment/token/listed", false, "payment.token_not_listed"],
		["/facts/payment/token/standard", "erc721", "payment.token_not_listed"],
		["/facts/payment/token/is_contract", false, "payment.token_not_listed"],
		["/facts/payment/token/address", fixtures.stranger, "payment.token_not_listed"],
		["/facts/payment/domain_verified", false, "payment.wrong_domain"],
		["/facts/payment/payee/listed", false, "payment.payee_not_listed"],
		["/facts/payment/payee/address", fixtures.stranger, "payment.payee_not_listed"],
		["/facts/payment/payee/lookalike", "landlord", "payment.payee_lookalike"],
		["/facts/payment/payee/self", true, "payment.to_self"],
		["/action/args/payee", fixtures.wallet, "payment.to_self"],
		["/action/args/host", "evil.example.org", "payment.host_not_listed"],
		["/action/args/amount", _amount(401), "payment.over_per_transfer"],
		["/facts/money/charges/0/remaining", fixtures.units(399), "payment.over_budget"],
		["/facts/money/charges/0/units", fixtures.units(399), "payment.over_budget"],
		["/facts/money/priced", false, "payment.over_budget"],
		["/action/args/chain_id", 1, "payment.wrong_chain"],
		["/action/args/timeout_s", 601, "payment.valid_too_long"],
		["/action/args/timeout_s", 0, "payment.valid_too_long"],
		["/facts/frozen", true, "payment.frozen"],
	] {
		row[2] in _denied with input as fixtures.set(fixtures.pay_request, row[0], row[1])
	}
}

test_the_last_that_fits_is_allowed if {
	every row in [
		["/action/args/timeout_s", 600],
		["/facts/money/charges/0/remaining", fixtures.units(400)],
	] {
		_allowed with input as fixtures.set(fixtures.pay_request, row[0], row[1])
	}
}

test_a_missing_field_is_denied if {
	every row in [
		["/facts/payment/token/listed", "payment.token_not_listed"],
		["/facts/payment/token/decimals", "payment.token_not_listed"],
		["/facts/payment/token/standard", "payment.token_not_listed"],
		["/facts/payment/token/is_contract", "payment.token_not_listed"],
		["/facts/payment/token/address", "payment.token_not_listed"],
		["/action/args/token", "payment.token_not_listed"],
		["/facts/payment/domain_verified", "payment.wrong_domain"],
		["/facts/payment/payee/listed", "payment.payee_not_listed"],
		["/facts/payment/payee/address", "payment.payee_not_listed"],
		["/action/args/payee", "payment.payee_not_listed"],
		["/facts/payment/payee/self", "payment.to_self"],
		["/run/address", "payment.to_self"],
		["/action/args/host", "payment.host_not_listed"],
		["/action/args/amount", "payment.over_per_transfer"],
		["/mandate/tokens/0/per_transfer", "payment.over_per_transfer"],
		["/facts/money/charges", "payment.over_budget"],
		["/action/args/chain_id", "payment.wrong_chain"],
		["/mandate/wallet/chain_id", "payment.wrong_chain"],
		["/action/args/timeout_s", "payment.valid_too_long"],
		["/facts/frozen", "payment.frozen"],
	] {
		every document in fixtures.broken(fixtures.pay_request, row[0]) {
			row[1] in _denied with input as document
		}
	}
}

# Null is a good answer here, and only a missing one is not.
test_a_missing_comparison_is_denied if {
	lookalike := json.patch(fixtures.pay_request, [{"op": "remove", "path": "/facts/payment/payee/lookalike"}])
	"payment.payee_lookalike" in _denied with input as lookalike
	web := json.patch(fixtures.pay_request, [{"op": "remove", "path": "/mandate/web"}])
	"payment.host_not_listed" in _denied with input as web
}

test_another_tool_of_this_kind_is_not_allowed if {
	count(payment.allow) == 0 with input as fixtures.set(fixtures.pay_request, "/action/tool", "wallet.transfer")
}
