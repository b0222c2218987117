# METADATA
# title: Calls of contracts
# description: A call is all that it does. Each part is judged as if it were asked for alone, and the sums as one.
package safebox.call

import data.data.limits
import data.safebox.money

# METADATA
# title: Calling a contract
# description: A call is allowed under a wallet grant; the rules below take the yes back.
allow contains "call.contract" if {
	input.action.tool == "wallet.call"
	input.action.kind == "contract_call"
	_granted
}

# METADATA
# title: Not granted
# description: A call needs a wallet, and to be known for all that it does.
# custom:
#   code: call.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add a section wallet, and tokens or contracts, to the mandate.
deny contains {"code": "call.not_granted", "message": "The mandate does not grant this call."} if {
	input.action.kind == "contract_call"
	not _granted
}

# METADATA
# title: The token is not listed
# description: Only tokens the owner listed by their contract, of the owner's standard and decimals, are moved or approved.
# custom:
#   code: call.token_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List the token's contract under tokens in the mandate, with its decimals.
deny contains {"code": "call.token_not_listed", "message": "A token is not listed in the mandate."} if {
	input.action.kind == "contract_call"
	not _all_tokens_listed
}

# METADATA
# title: The payee is not listed
# description: Money goes to the wallet's payees, a token to those the owner listed for this very token.
# custom:
#   code: call.payee_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the address under wallet.payees, or tokens.NAME.payees, in the mandate if the owner wants it paid.
deny contains {"code": "call.payee_not_listed", "message": "A payee is not listed in the mandate."} if {
	input.action.kind == "contract_call"
	not _all_payees_listed
}

# METADATA
# title: The payee looks like another one
# description: An address that imitates a listed payee is address poisoning.
# custom:
#   code: call.payee_lookalike
#   threat: persuasion
#   severity: critical
#   remedy: Compare the whole address with the one the owner meant.
deny contains {"code": "call.payee_lookalike", "message": "A payee's address imitates a known one."} if {
	input.action.kind == "contract_call"
	not _all_payees_unlike_others
}

# METADATA
# title: Nobody could use it again
# description: What goes to nobody's address, a precompiled contract or the token itself is lost.
# custom:
#   code: call.payee_burns
#   threat: misdirection
#   severity: high
#   remedy: Compare the address with the one the owner meant.
deny contains {"code": "call.payee_burns", "message": "What goes to this address is lost."} if {
	input.action.kind == "contract_call"
	not _nothing_burns
}

# METADATA
# title: A transfer to itself
# description: Paying oneself burns fees and fakes activity.
# custom:
#   code: call.to_self
#   threat: hoarding
#   severity: low
#   remedy: Nothing to change; a run has no reason to pay itself.
deny contains {"code": "call.to_self", "message": "A run may not pay itself."} if {
	input.action.kind == "contract_call"
	not _all_to_others
}

# METADATA
# title: What is another's
# description: A run moves and lets others take what is its own; what others let it take is not its to spend.
# custom:
#   code: call.foreign_owner
#   threat: overspending
#   severity: high
#   remedy: Nothing to change; the owner of the tokens can pay them out.
deny contains {"code": "call.foreign_owner", "message": "What this call moves is another's."} if {
	input.action.kind == "contract_call"
	not _all_its_own
}

# METADATA
# title: The spender is not listed
# description: Only who the owner listed for this very token may be let take it. Anybody's approval may be taken back.
# custom:
#   code: call.spender_not_listed
#   threat: persuasion
#   severity: critical
#   remedy: List the contract under tokens.NAME.spenders in the mandate if the owner trusts it with the token.
deny contains {"code": "call.spender_not_listed", "message": "A spender is not listed in the mandate."} if {
	input.action.kind == "contract_call"
	not _all_spenders_listed
}

# METADATA
# title: The spender is no contract
# description: An account without code is somebody with a key; nobody approves a token for one.
# custom:
#   code: call.spender_no_contract
#   threat: misdirection
#   severity: high
#   remedy: Compare the address; pay people with a transfer.
deny contains {"code": "call.spender_no_contract", "message": "A spender is no contract."} if {
	input.action.kind == "contract_call"
	not _all_spenders_contracts
}

# METADATA
# title: The spender looks like another one
# description: An address that imitates a listed one is address poisoning.
# custom:
#   code: call.spender_lookalike
#   threat: persuasion
#   severity: critical
#   remedy: Compare the whole address with the one the owner meant.
deny contains {"code": "call.spender_lookalike", "message": "A spender's address imitates a known one."} if {
	input.action.kind == "contract_call"
	not _all_spenders_unlike_others
}

# METADATA
# title: Approval of everything
# description: setApprovalForAll gives away all there is and all to come.
# custom:
#   code: call.for_all
#   threat: overspending
#   severity: critical
#   remedy: Nothing to change; approve a single amount of a listed token.
deny contains {"code": "call.for_all", "message": "An approval for all may not be given."} if {
	input.action.kind == "contract_call"
	not _none_for_all
}

# METADATA
# title: Unlimited approval
# description: An amount so large that programs take it for no limit is no amount, and neither is a thing.
# custom:
#   code: call.unlimited
#   threat: overspending
#   severity: critical
#   remedy: Approve just the amount that is needed.
deny contains {"code": "call.unlimited", "message": "An approval without a limit may not be given."} if {
	input.action.kind == "contract_call"
	not _all_limited
}

# METADATA
# title: The contract is not listed
# description: Only contracts the owner listed are called, whatever they are called with.
# custom:
#   code: call.contract_not_listed
#   threat: persuasion
#   severity: critical
#   remedy: List the contract under contracts in the mandate if the owner wants it called.
deny contains {"code": "call.contract_not_listed", "message": "A contract is not listed in the mandate."} if {
	input.action.kind == "contract_call"
	not _all_contracts_listed
}

# METADATA
# title: The function is not listed
# description: Of a listed contract only the functions the owner listed by their signatures are called.
# custom:
#   code: call.function_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List the function's signature under contracts.NAME.functions in the mandate.
deny contains {"code": "call.function_not_listed", "message": "A function is not listed in the mandate."} if {
	input.action.kind == "contract_call"
	not _all_functions_listed
}

# METADATA
# title: Who carries it out is not listed
# description: A contract that takes a batch apart may do something else. The owner lists it with that function, as any other.
# custom:
#   code: call.carrier_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List it under contracts in the mandate, with the signature of its batch.
deny contains {"code": "call.carrier_not_listed", "message": "Who would carry this out is not listed."} if {
	input.action.kind == "contract_call"
	not _all_carriers_listed
}

# METADATA
# title: An argument is an unknown address
# description: A listed function may pay whoever an argument names, so the owner must have named every address in them.
# custom:
#   code: call.address_not_listed
#   threat: persuasion
#   severity: critical
#   remedy: Use the run's own address, or one that the mandate lists.
deny contains {"code": "call.address_not_listed", "message": "An address in the arguments is not listed."} if {
	input.action.kind == "contract_call"
	not _all_addresses_listed
}

# METADATA
# title: There is no code
# description: A call of an address without code does nothing but leave there what goes along.
# custom:
#   code: call.no_code
#   threat: misdirection
#   severity: medium
#   remedy: Compare the address, and the chain.
deny contains {"code": "call.no_code", "message": "There is no contract at an address called."} if {
	input.action.kind == "contract_call"
	not _all_have_code
}

# METADATA
# title: Over the ether of a call
# description: How much ether goes along with a listed function is at most what the owner listed for its contract.
# custom:
#   code: call.over_value
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise contracts.NAME.value in the mandate.
deny contains {"code": "call.over_value", "message": "More ether goes along than may."} if {
	input.action.kind == "contract_call"
	not _all_within_value
}

# METADATA
# title: Over the cap of one transfer
# description: What leaves at once, summed over all of the call, is at most the mandate's cap for one transfer of it.
# custom:
#   code: call.over_per_transfer
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise per_transfer of wallet or tokens.NAME in the mandate.
deny contains {"code": "call.over_per_transfer", "message": "The amount is more than one transfer may be."} if {
	input.action.kind == "contract_call"
	not _within_per_transfer
}

# METADATA
# title: Over the cap of one approval
# description: What others may take of a token, summed over all of the call, is at most the cap for one approval.
# custom:
#   code: call.over_per_approval
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise tokens.NAME.per_approval in the mandate.
deny contains {"code": "call.over_per_approval", "message": "The amount is more than one approval may be."} if {
	input.action.kind == "contract_call"
	not _within_per_approval
}

# METADATA
# title: Over the cap of an hour
# description: What is allowed in any hour, this call at its worst included, is at most the mandate's cap.
# custom:
#   code: call.over_per_hour
#   threat: overspending
#   severity: high
#   remedy: Wait, or ask the owner, who can raise wallet.per_hour in the mandate.
deny contains {"code": "call.over_per_hour", "message": "This would be too much within an hour."} if {
	input.action.kind == "contract_call"
	not _within_per_hour
}

# METADATA
# title: Over the cap of a day
# description: What is allowed in any 24 hours, this call at its worst included, is at most the mandate's cap.
# custom:
#   code: call.over_per_day
#   threat: overspending
#   severity: high
#   remedy: Wait, or ask the owner, who can raise wallet.per_day in the mandate.
deny contains {"code": "call.over_per_day", "message": "This would be too much within a day."} if {
	input.action.kind == "contract_call"
	not _within_per_day
}

# METADATA
# title: Over the budget
# description: What leaves, what others may take and the worst-case fee fit what is left of each budget.
# custom:
#   code: call.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a larger budget of wallet or tokens.NAME in the mandate.
deny contains {"code": "call.over_budget", "message": "The call does not fit the budget."} if {
	input.action.kind == "contract_call"
	not _within_budget
}

# METADATA
# title: Over the fee cap
# description: The highest fee the transaction could pay is capped, by the mandate or else by the pack.
# custom:
#   code: call.fee_cap
#   threat: overspending
#   severity: medium
#   remedy: Offer a lower fee, or raise wallet.max_fee_per_gas in the mandate.
deny contains {"code": "call.fee_cap", "message": "The fee offered is too high."} if {
	input.action.kind == "contract_call"
	not _fee_within_cap
}

# METADATA
# title: The wrong chain
# description: The chain that answers is the chain the mandate names.
# custom:
#   code: call.wrong_chain
#   threat: misdirection
#   severity: critical
#   remedy: Point the firewall's chain endpoint at the chain in the mandate.
deny contains {"code": "call.wrong_chain", "message": "The chain is not the one in the mandate."} if {
	input.action.kind == "contract_call"
	not _on_chain
}

# METADATA
# title: The wallet is frozen
# description: While its owner keeps the wallet frozen, a run calls nothing from it.
# custom:
#   code: call.frozen
#   threat: overspending
#   severity: medium
#   remedy: Let the run pay again with safebox thaw, once it is clear why it was frozen.
deny contains {"code": "call.frozen", "message": "The wallet of this run is frozen by its owner."} if {
	input.action.kind == "contract_call"
	not _wallet_free
}

# METADATA
# title: People must approve
# description: A call that could take more ether than the mandate's threshold, fee included, waits for people's approval.
# custom:
#   code: call.approve_above
#   threat: overspending
#   severity: medium
#   remedy: Look at it with safebox approvals show, and approve or deny it.
hold contains {"code": "call.approve_above", "message": "People must approve this call first."} if {
	input.action.kind == "contract_call"
	not _needs_no_approval
}

# METADATA
# title: People may object
# description: A call that could take more ether than this threshold, fee included, waits a while for people to say no.
# custom:
#   code: call.challenge_above
#   threat: overspending
#   severity: low
#   remedy: Look at it with safebox approvals show, and deny it before its window is over if it should not be.
hold contains {"code": "call.challenge_above", "message": "This call waits in case people object."} if {
	input.action.kind == "contract_call"
	not _needs_no_challenge
}

# METADATA
# title: Terms of holds
# description: Who must approve or may object to a call. They are those of payments.
hold_terms := {
	"call.approve_above": payments["transfer.approve_above"],
	"call.challenge_above": payments["transfer.challenge_above"],
} if {
	payments := data.safebox.transfer.hold_terms
}

_granted if {
	is_object(input.mandate.wallet)
	_whole
}

# There is something to judge, and something is known of each part.
_whole if {
	is_array(input.action.args.leaves)
	is_array(input.facts.call.leaves)
	count(input.action.args.leaves) > 0
	count(input.action.args.leaves) == count(input.facts.call.leaves)
	count(_pairs) == count(input.action.args.leaves)
}

_pairs := [[leaf, fact] |
	is_array(input.action.args.leaves)
	some i, leaf in input.action.args.leaves
	fact := input.facts.call.leaves[i]
]

_about_tokens(leaf) if leaf.kind in {"token_transfer", "token_approval"}

_pays(leaf) if leaf.kind in {"pay", "token_transfer"}

_no_token(leaf) if leaf.kind in {"pay", "call"}

_pays_nobody(leaf) if leaf.kind in {"token_approval", "call"}

_lets_nobody(leaf) if leaf.kind in {"pay", "token_transfer", "call"}

# Approving nothing, approving less, and no more for all: each takes something back.
_lets_nobody(leaf) if {
	leaf.kind == "token_approval"
	leaf.standard == "erc20"
	leaf.method == "decrease_allowance"
}

_lets_nobody(leaf) if {
	leaf.kind == "token_approval"
	leaf.standard == "erc20"
	money.nothing(leaf.amount)
}

_lets_nobody(leaf) if {
	leaf.kind == "token_approval"
	leaf.method == "set_approval_for_all"
	leaf.approved == false
}

_lets_nobody(leaf) if {
	leaf.kind == "token_approval"
	leaf.standard == "erc721"
	leaf.method == "approve"
	leaf.other == "0x0000000000000000000000000000000000000000"
}

_calls_nothing(leaf) if leaf.kind in {"pay", "token_transfer", "token_approval"}

_all_tokens_listed if {
	_whole
	every pair in _pairs {
		_token_listed(pair[0], pair[1])
	}
}

_token_listed(leaf, _) if _no_token(leaf)

_token_listed(leaf, fact) if {
	_about_tokens(leaf)
	fact.token.listed == true
	is_number(fact.token.decimals)
	fact.token.address == leaf.contract
	fact.token.standard == leaf.standard
}

_all_payees_listed if {
	_whole
	every pair in _pairs {
		_payee_listed(pair[0], pair[1])
	}
}

_payee_listed(leaf, _) if _pays_nobody(leaf)

_payee_listed(leaf, fact) if {
	_pays(leaf)
	fact.other.listed == true
	fact.other.address == leaf.other
}

_all_payees_unlike_others if {
	_whole
	every pair in _pairs {
		_payee_unlike_others(pair[0], pair[1])
	}
}

_payee_unlike_others(leaf, _) if _pays_nobody(leaf)

_payee_unlike_others(leaf, fact) if {
	_pays(leaf)
	fact.other.lookalike == null
}

_nothing_burns if {
	_whole
	every pair in _pairs {
		pair[1].burns == false
	}
}

_all_to_others if {
	_whole
	every pair in _pairs {
		_to_another(pair[0], pair[1])
	}
}

_to_another(leaf, _) if _pays_nobody(leaf)

_to_another(leaf, fact) if {
	_pays(leaf)
	fact.other.self == false
	is_string(input.run.address)
	leaf.other != input.run.address
}

_all_its_own if {
	_whole
	every pair in _pairs {
		pair[1].owner_self == true
	}
}

_all_spenders_listed if {
	_whole
	every pair in _pairs {
		_spender_listed(pair[0], pair[1])
	}
}

_spender_listed(leaf, _) if _lets_nobody(leaf)

_spender_listed(leaf, fact) if {
	leaf.kind == "token_approval"
	fact.other.listed == true
	fact.other.self == false
	fact.other.address == leaf.other
}

_all_spenders_contracts if {
	_whole
	every pair in _pairs {
		_spender_contract(pair[0], pair[1])
	}
}

_spender_contract(leaf, _) if _lets_nobody(leaf)

_spender_contract(leaf, fact) if {
	leaf.kind == "token_approval"
	fact.other.is_contract == true
}

_all_spenders_unlike_others if {
	_whole
	every pair in _pairs {
		_spender_unlike_others(pair[0], pair[1])
	}
}

_spender_unlike_others(leaf, _) if _lets_nobody(leaf)

_spender_unlike_others(leaf, fact) if {
	leaf.kind == "token_approval"
	fact.other.lookalike == null
}

_none_for_all if {
	_whole
	every leaf in input.action.args.leaves {
		_not_for_all(leaf)
	}
}

_not_for_all(leaf) if _lets_nobody(leaf)

_not_for_all(leaf) if leaf.method in {"approve", "increase_allowance", "permit", "permit2_approve"}

_all_limited if {
	_whole
	every leaf in input.action.args.leaves {
		_limited(leaf)
	}
}

_limited(leaf) if _lets_nobody(leaf)

_limited(leaf) if {
	leaf.kind == "token_approval"
	money.padded(leaf.amount.units)
	leaf.amount.units < limits.approval.unlimited
}

_all_contracts_listed if {
	_whole
	every pair in _pairs {
		_contract_listed(pair[0], pair[1])
	}
}

_contract_listed(leaf, _) if _calls_nothing(leaf)

_contract_listed(leaf, fact) if {
	leaf.kind == "call"
	fact.contract.listed == true
	fact.contract.address == leaf.contract
}

_all_functions_listed if {
	_whole
	every pair in _pairs {
		_function_listed(pair[0], pair[1])
	}
}

_function_listed(leaf, _) if _calls_nothing(leaf)

_function_listed(leaf, fact) if {
	leaf.kind == "call"
	fact.contract.function_listed == true
}

_all_carriers_listed if {
	_whole
	every pair in _pairs {
		_carriers_listed(pair[0], pair[1])
	}
}

_carriers_listed(leaf, fact) if {
	is_array(leaf.carriers)
	is_array(fact.carriers)
	[[one.address, one.method] | some one in leaf.carriers] == [[one.address, one.method] | some one in fact.carriers]
	every carrier in fact.carriers {
		_carrier_listed(carrier)
	}
}

_carrier_listed(carrier) if carrier.listed == true

# Whom the pack lets check permits may carry out what it moves.
_carrier_listed(carrier) if carrier.address in limits.approval.permit2

_all_addresses_listed if {
	_whole
	every pair in _pairs {
		pair[1].addresses_listed == true
	}
}

_all_have_code if {
	input.facts.call.is_contract == true
	_whole
	every pair in _pairs {
		_has_code(pair[0], pair[1])
	}
}

_has_code(leaf, _) if leaf.kind == "pay"

_has_code(leaf, fact) if {
	_about_tokens(leaf)
	fact.token.is_contract == true
}

_has_code(leaf, fact) if {
	leaf.kind == "call"
	fact.contract.is_contract == true
}

_all_within_value if {
	_whole
	every pair in _pairs {
		_within_value(pair[0], pair[1])
	}
}

_within_value(leaf, _) if _calls_nothing(leaf)

_within_value(leaf, _) if {
	leaf.kind == "call"
	money.nothing(leaf.value)
}

_within_value(leaf, fact) if {
	leaf.kind == "call"
	money.at_most(leaf.value, fact.contract.value)
}

_within_per_transfer if {
	is_array(input.facts.call.moved)
	every amount in input.facts.call.moved {
		_transferable(amount)
	}
}

_transferable(amount) if money.at_most(amount, input.mandate.wallet.per_transfer)

_transferable(amount) if {
	is_array(input.mandate.tokens)
	some token in input.mandate.tokens
	money.at_most(amount, token.per_transfer)
}

_within_per_approval if {
	is_array(input.facts.call.let)
	every amount in input.facts.call.let {
		_approvable(amount)
	}
}

_approvable(amount) if {
	is_array(input.mandate.tokens)
	some token in input.mandate.tokens
	money.at_most(amount, token.per_approval)
}

_within_per_hour if _within("hour", input.mandate.wallet.per_hour)

_within_per_day if _within("day", input.mandate.wallet.per_day)

_needs_no_approval if _within("units", input.mandate.wallet.approve_above)

_needs_no_challenge if _within("units", input.mandate.wallet.challenge_above)

_within(_, cap) if cap == null

_within(window, cap) if {
	is_string(cap.asset)
	money.charges("wallet", cap.asset)
	every charge in input.facts.money.charges {
		_no_more(charge, window, cap)
	}
}

_no_more(charge, _, cap) if {
	is_string(charge.asset)
	charge.asset != cap.asset
}

_no_more(charge, window, cap) if money.at_most({"asset": charge.asset, "units": charge[window]}, cap)

_within_budget if {
	money.covered("wallet")
	money.charges("wallet", input.mandate.wallet.budget.asset)
	is_array(input.facts.call.moved)
	is_array(input.facts.call.let)
	every amount in array.concat(input.facts.call.moved, input.facts.call.let) {
		money.charged_for("wallet", amount)
	}
}

_fee_within_cap if {
	is_object(input.mandate.wallet.max_fee_per_gas)
	money.at_most(input.action.args.max_fee_per_gas, input.mandate.wallet.max_fee_per_gas)
}

_fee_within_cap if {
	input.mandate.wallet.max_fee_per_gas == null
	money.at_most(input.action.args.max_fee_per_gas, limits.transfer.max_fee_per_gas)
}

# Without a fee of the agent's choosing the firewall chooses one, and its worst case is in the charges.
_fee_within_cap if {
	input.action.args.max_fee_per_gas == null
	_fee_cap_known
}

_fee_cap_known if is_object(input.mandate.wallet.max_fee_per_gas)

_fee_cap_known if input.mandate.wallet.max_fee_per_gas == null

_on_chain if {
	is_number(input.mandate.wallet.chain_id)
	input.facts.wallet.chain_id == input.mandate.wallet.chain_id
}

_wallet_free if input.facts.frozen == false
