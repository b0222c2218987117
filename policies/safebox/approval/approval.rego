# METADATA
# title: Approvals and signatures
# description: What others may take later is spent now. Nothing is signed that can't be said in full.
package safebox.approval

import data.data.limits
import data.safebox.money

# METADATA
# title: Approving a token
# description: Approving is allowed under a wallet and a token grant; the rules below take the yes back.
allow contains "approval.approve" if {
	input.action.tool == "wallet.approve"
	input.action.kind == "token_approval"
	_granted
}

# METADATA
# title: Signing
# description: Permits are allowed under a token grant, messages under a signing grant; the rules below take it back.
allow contains "approval.sign" if {
	input.action.tool in {"wallet.sign_typed_data", "wallet.sign_message"}
	input.action.kind == "signature"
	_granted
}

# METADATA
# title: Not granted
# description: Approvals and permits need a wallet and a token grant, messages a signing grant.
# custom:
#   code: approval.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add a section tokens or signing to the mandate.
deny contains {"code": "approval.not_granted", "message": "The mandate does not grant this signature."} if {
	input.action.kind in {"token_approval", "signature"}
	not _granted
}

# METADATA
# title: The token is not listed
# description: Only tokens the owner listed by their contract, of the owner's standard and decimals, are approved.
# custom:
#   code: approval.token_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List the token's contract under tokens in the mandate, with its decimals.
deny contains {"code": "approval.token_not_listed", "message": "The token is not listed in the mandate."} if {
	_about_tokens
	not _tokens_listed
}

# METADATA
# title: The spender is not listed
# description: Only who the owner listed for this very token may be let take it. Anybody's approval may be taken back.
# custom:
#   code: approval.spender_not_listed
#   threat: persuasion
#   severity: critical
#   remedy: List the contract under tokens.NAME.spenders in the mandate if the owner trusts it with the token.
deny contains {"code": "approval.spender_not_listed", "message": "The spender is not listed in the mandate."} if {
	_about_tokens
	not _revokes
	not _spenders_listed
}

# METADATA
# title: The spender is no contract
# description: An account without code is somebody with a key; nobody approves a token for one.
# custom:
#   code: approval.spender_no_contract
#   threat: misdirection
#   severity: high
#   remedy: Compare the address; pay people with a transfer.
deny contains {"code": "approval.spender_no_contract", "message": "The spender is no contract."} if {
	_about_tokens
	not _revokes
	not _spenders_contracts
}

# METADATA
# title: The spender looks like another one
# description: An address that imitates a listed one is address poisoning.
# custom:
#   code: approval.spender_lookalike
#   threat: persuasion
#   severity: critical
#   remedy: Compare the whole address with the one the owner meant.
deny contains {"code": "approval.spender_lookalike", "message": "The spender's address imitates a known one."} if {
	_about_tokens
	not _revokes
	not _spenders_unlike_others
}

# METADATA
# title: Approval of everything
# description: setApprovalForAll gives away all there is and all to come.
# custom:
#   code: approval.for_all
#   threat: overspending
#   severity: critical
#   remedy: Nothing to change; approve a single amount of a listed token.
deny contains {"code": "approval.for_all", "message": "An approval for all may not be given."} if {
	input.action.kind == "token_approval"
	not _not_for_all
}

# METADATA
# title: Unlimited approval
# description: An amount so large that programs take it for no limit is no amount.
# custom:
#   code: approval.unlimited
#   threat: overspending
#   severity: critical
#   remedy: Approve just the amount that is needed.
deny contains {"code": "approval.unlimited", "message": "An approval without a limit may not be given."} if {
	_about_tokens
	not _revokes
	not _amounts_limited
}

# METADATA
# title: Over the cap of one approval
# description: What one approval or permit gives of a token is at most the mandate's cap for one.
# custom:
#   code: approval.over_per_approval
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise tokens.NAME.per_approval in the mandate.
deny contains {"code": "approval.over_per_approval", "message": "The amount is more than one approval may be."} if {
	_about_tokens
	not _revokes
	not _within_per_approval
}

# METADATA
# title: Over the token's budget
# description: What others may take counts as spent, and fits what is left of the budget together with the fee.
# custom:
#   code: approval.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a larger tokens.NAME.budget in the mandate.
deny contains {"code": "approval.over_budget", "message": "The approval does not fit the budget."} if {
	_about_tokens
	not _within_budget
}

# METADATA
# title: The wrong chain
# description: Approvals and permits are for the chain the mandate names, and say so.
# custom:
#   code: approval.wrong_chain
#   threat: misdirection
#   severity: critical
#   remedy: Sign for the chain in the mandate only.
deny contains {"code": "approval.wrong_chain", "message": "The chain is not the one in the mandate."} if {
	_about_tokens
	not _on_chain
}

# METADATA
# title: Over the fee cap
# description: The highest fee the transaction could pay is capped, by the mandate or else by the pack.
# custom:
#   code: approval.fee_cap
#   threat: overspending
#   severity: medium
#   remedy: Offer a lower fee, or raise wallet.max_fee_per_gas in the mandate.
deny contains {"code": "approval.fee_cap", "message": "The fee offered is too high."} if {
	input.action.kind == "token_approval"
	not _fee_within_cap
}

# METADATA
# title: The wallet is frozen
# description: While its owner keeps the wallet frozen, a run gives nothing away. Taking approvals back still works.
# custom:
#   code: approval.frozen
#   threat: overspending
#   severity: medium
#   remedy: Let the run pay again with safebox thaw, once it is clear why it was frozen.
deny contains {"code": "approval.frozen", "message": "The wallet of this run is frozen by its owner."} if {
	input.action.kind in {"token_approval", "signature"}
	not _revokes
	not _wallet_free
}

# METADATA
# title: This kind of typed data is not signed
# description: Only permits whose token, spender, amount and deadline can be read are signed; orders and delegations not.
# custom:
#   code: approval.standard_not_allowed
#   threat: overspending
#   severity: critical
#   remedy: Nothing to change; do what it is for with a transfer or an approval.
deny contains {"code": "approval.standard_not_allowed", "message": "Typed data of this kind is not signed."} if {
	input.action.tool == "wallet.sign_typed_data"
	not _standard_allowed
}

# METADATA
# title: The wrong verifying contract
# description: A permit is checked by the token itself or by the Permit2 contract.
# custom:
#   code: approval.wrong_contract
#   threat: misdirection
#   severity: critical
#   remedy: Compare the contract in the domain with the token's.
deny contains {"code": "approval.wrong_contract", "message": "The contract in the domain is not the right one."} if {
	input.action.tool == "wallet.sign_typed_data"
	not _contract_right
}

# METADATA
# title: Valid for too long
# description: A permit ends soon, and has not ended yet.
# custom:
#   code: approval.valid_too_long
#   threat: persistence
#   severity: high
#   remedy: Ask for an earlier deadline.
deny contains {"code": "approval.valid_too_long", "message": "The signature would be valid for too long."} if {
	input.action.tool == "wallet.sign_typed_data"
	not _ends_soon
}

# METADATA
# title: Another signer
# description: What is signed names the run's own address where it names a signer.
# custom:
#   code: approval.wrong_signer
#   threat: misdirection
#   severity: high
#   remedy: Name the run's own address.
deny contains {"code": "approval.wrong_signer", "message": "The signer named is not this run."} if {
	input.action.kind == "signature"
	not _signer_right
}

# METADATA
# title: eth_sign
# description: eth_sign signs any digest, a transaction's, too. It is never used.
# custom:
#   code: approval.eth_sign
#   threat: overspending
#   severity: critical
#   remedy: Use personal_sign with a readable text.
deny contains {"code": "approval.eth_sign", "message": "eth_sign is not available."} if {
	input.action.tool == "wallet.sign_message"
	not _personal_sign
}

# METADATA
# title: The message is no text
# description: Digests, prefixed data, transactions and bytes nobody can read are not signed, in hexadecimal neither.
# custom:
#   code: approval.message_not_text
#   threat: overspending
#   severity: critical
#   remedy: Sign only text that people can read.
deny contains {"code": "approval.message_not_text", "message": "The message is not plain text."} if {
	input.action.tool == "wallet.sign_message"
	not _message_text
}

# METADATA
# title: The message is not listed
# description: A text is short, and letter by letter one of those the owner listed, but for its open places.
# custom:
#   code: approval.message_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the text under signing.messages in the mandate if the owner wants it signed.
deny contains {"code": "approval.message_not_listed", "message": "The text is not listed in the mandate."} if {
	input.action.tool == "wallet.sign_message"
	input.facts.signature.standard == "text"
	not _message_listed
}

# METADATA
# title: The sign-in is not listed
# description: Signing in works at listed domains, on the mandate's chain, with a whole message for that domain.
# custom:
#   code: approval.sign_in_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the domain under signing.domains in the mandate if the owner wants the run to sign in there.
deny contains {"code": "approval.sign_in_not_listed", "message": "Signing in there is not listed."} if {
	input.action.tool == "wallet.sign_message"
	input.facts.signature.standard == "sign_in"
	not _sign_in_listed
}

_about_tokens if input.action.kind == "token_approval"

_about_tokens if input.action.tool == "wallet.sign_typed_data"

_granted if {
	_about_tokens
	is_object(input.mandate.wallet)
	is_array(input.mandate.tokens)
}

_granted if {
	input.action.tool == "wallet.sign_message"
	is_object(input.mandate.signing)
}

# Approving nothing, approving less, and no more for all: each takes something back.
_revokes if {
	input.action.kind == "token_approval"
	input.action.args.standard == "erc20"
	input.action.args.method in {"approve", "increase_allowance"}
	money.nothing(input.action.args.amount)
}

_revokes if {
	input.action.kind == "token_approval"
	input.action.args.standard == "erc20"
	input.action.args.method == "decrease_allowance"
}

_revokes if {
	input.action.kind == "token_approval"
	input.action.args.standard in {"erc721", "erc1155"}
	input.action.args.method == "set_approval_for_all"
	input.action.args.approved == false
}

_revokes if {
	input.action.kind == "token_approval"
	input.action.args.standard == "erc721"
	input.action.args.method == "approve"
	input.action.args.spender == "0x0000000000000000000000000000000000000000"
}

_tokens_listed if {
	input.action.kind == "token_approval"
	_is_listed(input.facts.token)
	input.facts.token.address == input.action.args.token
	input.facts.token.standard == input.action.args.standard
}

_tokens_listed if {
	_some_takings
	every taking in input.facts.signature.takings {
		_is_listed(taking.token)
		taking.token.standard == "erc20"
	}
}

_is_listed(token) if {
	token.listed == true
	is_number(token.decimals)
}

_spenders_listed if {
	input.action.kind == "token_approval"
	input.facts.spender.listed == true
	input.facts.spender.self == false
	input.facts.spender.address == input.action.args.spender
}

_spenders_listed if {
	_some_takings
	every taking in input.facts.signature.takings {
		taking.spender.listed == true
		taking.spender.self == false
	}
}

_spenders_contracts if input.facts.spender.is_contract == true

_spenders_contracts if {
	_some_takings
	every taking in input.facts.signature.takings {
		_may_hold(taking)
	}
}

# Who is paid at once may be anybody the owner listed; who may take it later is a contract.
_may_hold(taking) if taking.spender.is_contract == true

_may_hold(taking) if taking.role == "payee"

_spenders_unlike_others if {
	input.action.kind == "token_approval"
	input.facts.spender.lookalike == null
}

_spenders_unlike_others if {
	_some_takings
	every taking in input.facts.signature.takings {
		taking.spender.lookalike == null
	}
}

_some_takings if {
	is_array(input.facts.signature.takings)
	count(input.facts.signature.takings) > 0
}

_not_for_all if input.action.args.method in {"approve", "increase_allowance", "decrease_allowance"}

_not_for_all if _revokes

_amounts_limited if {
	input.action.kind == "token_approval"
	_limited(input.action.args.amount)
}

_amounts_limited if {
	_some_takings
	every taking in input.facts.signature.takings {
		_limited(taking.amount)
	}
}

_limited(amount) if {
	money.padded(amount.units)
	amount.units < limits.approval.unlimited
}

_within_per_approval if {
	input.action.kind == "token_approval"
	_capped(input.action.args.amount)
}

_within_per_approval if {
	_some_totals
	every total in input.facts.signature.totals {
		_capped(total)
	}
}

_some_totals if {
	is_array(input.facts.signature.totals)
	count(input.facts.signature.totals) > 0
}

_capped(amount) if {
	is_array(input.mandate.tokens)
	some token in input.mandate.tokens
	money.at_most(amount, token.per_approval)
}

# Taking an approval back costs the fee alone.
_within_budget if {
	_revokes
	_fee_within_budget
}

_within_budget if {
	input.action.kind == "token_approval"
	_fee_within_budget
	money.charged_for("wallet", input.action.args.amount)
}

_within_budget if {
	_some_totals
	money.covered("wallet")
	every total in input.facts.signature.totals {
		money.charged_for("wallet", total)
	}
}

_fee_within_budget if {
	money.covered("wallet")
	money.charges("wallet", input.mandate.wallet.budget.asset)
	_fee_within("hour", input.mandate.wallet.per_hour)
	_fee_within("day", input.mandate.wallet.per_day)
}

_fee_within(_, cap) if cap == null

_fee_within(window, cap) if {
	every charge in input.facts.money.charges {
		_no_more(charge, window, cap)
	}
}

_no_more(charge, _, cap) if charge.asset != cap.asset

_no_more(charge, window, cap) if money.at_most({"asset": charge.asset, "units": charge[window]}, cap)

_on_chain if {
	input.action.kind == "token_approval"
	is_number(input.mandate.wallet.chain_id)
	input.facts.wallet.chain_id == input.mandate.wallet.chain_id
}

_on_chain if {
	input.action.kind == "signature"
	is_number(input.mandate.wallet.chain_id)
	input.facts.signature.chain_id == input.mandate.wallet.chain_id
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
_fee_within_cap if input.action.args.max_fee_per_gas == null

_wallet_free if input.facts.frozen == false

_standard_allowed if {
	_facts_of_this
	input.facts.signature.standard in limits.approval.standards
}

# What the facts say is said of what is signed.
_facts_of_this if {
	is_string(input.action.args.digest)
	input.facts.signature.digest == input.action.args.digest
}

_contract_right if {
	is_string(input.facts.signature.contract)
	input.facts.signature.standard in {"eip2612", "eip3009"}
	_some_takings
	some taking in input.facts.signature.takings
	taking.token.address == input.facts.signature.contract
}

_contract_right if {
	is_string(input.facts.signature.standard)
	startswith(input.facts.signature.standard, "permit2_")
	input.facts.signature.contract in limits.approval.permit2
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_ends_soon if {
	is_number(input.facts.signature.valid_s)
	input.facts.signature.valid_s > 0
	input.facts.signature.valid_s <= limits.approval.valid_s
}

_signer_right if input.facts.signature.signer_self == true

# A plain text names no signer.
_signer_right if {
	input.action.tool == "wallet.sign_message"
	input.facts.signature.standard == "text"
}

_personal_sign if input.action.args.method == "personal_sign"

_message_text if {
	_facts_of_this
	input.facts.signature.standard in {"text", "sign_in"}
	is_string(input.action.args.text)
	is_number(input.action.args.size)
	input.action.args.size <= limits.approval.message_bytes
}

_message_listed if input.facts.signature.message_listed == true

_sign_in_listed if {
	is_string(input.facts.signature.domain)
	input.facts.signature.domain_listed == true
	_sign_in_chain
}

_sign_in_chain if {
	is_number(input.mandate.wallet.chain_id)
	input.facts.signature.chain_id == input.mandate.wallet.chain_id
}
