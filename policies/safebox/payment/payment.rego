# METADATA
# title: Payments that servers ask for
# description: An authorisation to take a token is given to listed payees only, for the mandate's chain, and not for long.
package safebox.payment

import data.data.limits
import data.safebox.money

# METADATA
# title: Paying what a server asks for
# description: Paying is allowed under a wallet and a token grant; the rules below take the yes back.
allow contains "payment.pay" if {
	input.action.tool == "wallet.pay_request"
	input.action.kind == "payment"
	_granted
}

# METADATA
# title: Not granted
# description: Paying with an authorisation needs a wallet and a token grant.
# custom:
#   code: payment.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add the sections wallet and tokens to the mandate.
deny contains {"code": "payment.not_granted", "message": "The mandate grants no payments in tokens."} if {
	input.action.kind == "payment"
	not _granted
}

# METADATA
# title: The token is not listed
# description: Servers are paid in ERC-20 tokens the owner listed by their contract. A name says nothing.
# custom:
#   code: payment.token_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List the token's contract under tokens in the mandate, with its decimals.
deny contains {"code": "payment.token_not_listed", "message": "The token is not listed in the mandate."} if {
	input.action.kind == "payment"
	not _token_listed
}

# METADATA
# title: The token does not know this domain
# description: A signature for a domain that is not the token's own is good for nothing, and would be charged.
# custom:
#   code: payment.wrong_domain
#   threat: misdirection
#   severity: medium
#   remedy: Compare the name and version the server says with the token's own.
deny contains {"code": "payment.wrong_domain", "message": "The name or version is not the token's own."} if {
	input.action.kind == "payment"
	not _domain_right
}

# METADATA
# title: The payee is not listed
# description: Only who the owner listed for this very token is paid, whatever the server says.
# custom:
#   code: payment.payee_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the address under tokens.NAME.payees in the mandate if the owner wants it paid.
deny contains {"code": "payment.payee_not_listed", "message": "The payee is not listed in the mandate."} if {
	input.action.kind == "payment"
	not _payee_listed
}

# METADATA
# title: The payee looks like another one
# description: An address that imitates a listed payee is address poisoning.
# custom:
#   code: payment.payee_lookalike
#   threat: persuasion
#   severity: critical
#   remedy: Compare the whole address with the one the owner meant.
deny contains {"code": "payment.payee_lookalike", "message": "The payee's address imitates a known one."} if {
	input.action.kind == "payment"
	not _payee_unlike_others
}

# METADATA
# title: A payment to itself
# description: Paying oneself fakes activity.
# custom:
#   code: payment.to_self
#   threat: hoarding
#   severity: low
#   remedy: Nothing to change; a run has no reason to pay itself.
deny contains {"code": "payment.to_self", "message": "A run may not pay itself."} if {
	input.action.kind == "payment"
	not _to_another
}

# METADATA
# title: The host is not listed
# description: A run that may ask only listed hosts pays only for what is there.
# custom:
#   code: payment.host_not_listed
#   threat: misdirection
#   severity: medium
#   remedy: List the host under web.hosts in the mandate if the run is to pay for what is there.
deny contains {"code": "payment.host_not_listed", "message": "The host paid for is not listed."} if {
	input.action.kind == "payment"
	not _host_listed
}

# METADATA
# title: Over the cap of one payment
# description: No single payment in a token is more than the mandate's cap for one.
# custom:
#   code: payment.over_per_transfer
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise tokens.NAME.per_transfer in the mandate.
deny contains {"code": "payment.over_per_transfer", "message": "The amount is more than one payment may be."} if {
	input.action.kind == "payment"
	not _within_per_transfer
}

# METADATA
# title: Over the token's budget
# description: What is handed out counts as spent at once, and fits what is left of the budget.
# custom:
#   code: payment.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a larger tokens.NAME.budget in the mandate.
deny contains {"code": "payment.over_budget", "message": "The payment does not fit the budget."} if {
	input.action.kind == "payment"
	not _within_budget
}

# METADATA
# title: The wrong chain
# description: A server is paid on the chain the mandate names.
# custom:
#   code: payment.wrong_chain
#   threat: misdirection
#   severity: critical
#   remedy: Take an offer of the server's for the chain in the mandate.
deny contains {"code": "payment.wrong_chain", "message": "The chain is not the one in the mandate."} if {
	input.action.kind == "payment"
	not _on_chain
}

# METADATA
# title: Valid for too long
# description: An authorisation is an open cheque until it ends, so it ends soon.
# custom:
#   code: payment.valid_too_long
#   threat: persistence
#   severity: high
#   remedy: Nothing to change; a server that settles needs minutes.
deny contains {"code": "payment.valid_too_long", "message": "The authorisation would be valid for too long."} if {
	input.action.kind == "payment"
	not _ends_soon
}

# METADATA
# title: The wallet is frozen
# description: While its owner keeps the wallet frozen, a run pays nobody.
# custom:
#   code: payment.frozen
#   threat: overspending
#   severity: medium
#   remedy: Let the run pay again with safebox thaw, once it is clear why it was frozen.
deny contains {"code": "payment.frozen", "message": "The wallet of this run is frozen by its owner."} if {
	input.action.kind == "payment"
	not _wallet_free
}

_granted if {
	is_object(input.mandate.wallet)
	is_array(input.mandate.tokens)
}

_token_listed if {
	input.facts.payment.token.listed == true
	is_number(input.facts.payment.token.decimals)
	input.facts.payment.token.standard == "erc20"
	input.facts.payment.token.is_contract == true
	is_string(input.action.args.token)
	input.facts.payment.token.address == input.action.args.token
}

_domain_right if input.facts.payment.domain_verified == true

_payee_listed if {
	input.facts.payment.payee.listed == true
	is_string(input.action.args.payee)
	input.facts.payment.payee.address == input.action.args.payee
}

_payee_unlike_others if input.facts.payment.payee.lookalike == null

_to_another if {
	input.facts.payment.payee.self == false
	is_string(input.run.address)
	input.action.args.payee != input.run.address
}

# Without a web grant the run reaches no server by itself: who carries its header there, and where, is not to be seen.
_host_listed if {
	input.mandate.web == null
	is_string(input.action.args.host)
}

_host_listed if {
	is_string(input.action.args.host)
	some host in input.mandate.web.hosts
	host.host == input.action.args.host
}

_within_per_transfer if {
	is_array(input.mandate.tokens)
	some token in input.mandate.tokens
	money.at_most(input.action.args.amount, token.per_transfer)
}

_within_budget if {
	money.covered("wallet")
	money.charged_for("wallet", input.action.args.amount)
}

_on_chain if {
	is_number(input.mandate.wallet.chain_id)
	input.action.args.chain_id == input.mandate.wallet.chain_id
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_ends_soon if {
	is_number(input.action.args.timeout_s)
	input.action.args.timeout_s > 0
	input.action.args.timeout_s <= limits.payment.valid_s
}

_wallet_free if input.facts.frozen == false
