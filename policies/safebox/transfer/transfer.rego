# METADATA
# title: Transfers
# description: Value leaves the wallet only to listed payees, within the mandate's caps, on the mandate's chain.
package safebox.transfer

import data.data.limits
import data.safebox.money

# METADATA
# title: Transfer under a wallet grant
# description: A transfer is allowed under a wallet grant; the rules below take the yes back.
allow contains "transfer.pay" if {
	input.action.tool == "wallet.transfer"
	input.action.kind == "transfer"
	_granted
}

# METADATA
# title: Reading the balance
# description: A run with a wallet may read its balance.
allow contains "transfer.balance" if {
	input.action.tool == "wallet.balance"
	input.action.kind == "wallet_read"
	_granted
}

# METADATA
# title: Asking what a transfer would cost
# description: A run with a wallet may ask what any transfer would cost; the answer says nothing of these rules.
allow contains "transfer.quote" if {
	input.action.tool == "wallet.quote"
	input.action.kind == "wallet_read"
	_granted
}

# METADATA
# title: Funding
# description: The firewall may fund the run's own address from the owner's treasury.
allow contains "transfer.fund" if {
	input.action.tool == "wallet.fund"
	input.action.kind == "funding"
	input.action.caller == "owner"
	_granted
	_to_run
}

# METADATA
# title: Sweeping
# description: The firewall may bring money back to the owner's address at any time.
allow contains "transfer.sweep" if {
	input.action.tool == "wallet.sweep"
	input.action.kind == "funding"
	input.action.caller == "owner"
	_to_owner
}

# METADATA
# title: No wallet is granted
# description: Every use of the wallet needs a wallet grant.
# custom:
#   code: transfer.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add a wallet section to the mandate.
deny contains {"code": "transfer.not_granted", "message": "The mandate grants no wallet."} if {
	input.action.kind in {"transfer", "wallet_read", "funding"}
	not _granted
}

# METADATA
# title: The payee is not listed
# description: Money goes only to addresses the owner named; funding goes to the run, a sweep to the owner.
# custom:
#   code: transfer.payee_not_listed
#   threat: persuasion
#   severity: high
#   remedy: List the address under wallet.payees in the mandate if the owner wants it paid.
deny contains {"code": "transfer.payee_not_listed", "message": "The payee is not listed in the mandate."} if {
	input.action.kind in {"transfer", "funding"}
	not _payee_listed
}

# METADATA
# title: The payee looks like another one
# description: An address that imitates a listed payee is address poisoning.
# custom:
#   code: transfer.payee_lookalike
#   threat: persuasion
#   severity: critical
#   remedy: Compare the whole address with the one the owner meant.
deny contains {"code": "transfer.payee_lookalike", "message": "The payee's address imitates a known one."} if {
	input.action.kind == "transfer"
	not _payee_unlike_others
}

# METADATA
# title: A transfer to itself
# description: Paying oneself burns fees and fakes activity.
# custom:
#   code: transfer.to_self
#   threat: hoarding
#   severity: low
#   remedy: Nothing to change; a run has no reason to pay itself.
deny contains {"code": "transfer.to_self", "message": "A run may not pay itself."} if {
	input.action.kind == "transfer"
	not _to_another
}

# METADATA
# title: Over the cap of one transfer
# description: No single transfer is more than the mandate's cap for one.
# custom:
#   code: transfer.over_per_transfer
#   threat: overspending
#   severity: high
#   remedy: Ask the owner, who can raise wallet.per_transfer in the mandate.
deny contains {"code": "transfer.over_per_transfer", "message": "The amount is more than one transfer may be."} if {
	input.action.kind == "transfer"
	not _within_per_transfer
}

# METADATA
# title: Over the cap of an hour
# description: What is allowed in any hour, this transfer at its worst included, is at most the mandate's cap.
# custom:
#   code: transfer.over_per_hour
#   threat: overspending
#   severity: high
#   remedy: Wait, or ask the owner, who can raise wallet.per_hour in the mandate.
deny contains {"code": "transfer.over_per_hour", "message": "This would be too much within an hour."} if {
	input.action.kind == "transfer"
	not _within_per_hour
}

# METADATA
# title: Over the cap of a day
# description: What is allowed in any 24 hours, this transfer at its worst included, is at most the mandate's cap.
# custom:
#   code: transfer.over_per_day
#   threat: overspending
#   severity: high
#   remedy: Wait, or ask the owner, who can raise wallet.per_day in the mandate.
deny contains {"code": "transfer.over_per_day", "message": "This would be too much within a day."} if {
	input.action.kind == "transfer"
	not _within_per_day
}

# METADATA
# title: Over the wallet's budget
# description: The amount and the worst-case fee fit what is left of the budget.
# custom:
#   code: transfer.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a larger wallet.budget in the mandate.
deny contains {"code": "transfer.over_budget", "message": "The transfer does not fit the budget."} if {
	input.action.kind == "transfer"
	not _within_budget
}

# METADATA
# title: Over the fee cap
# description: The highest fee the transaction could pay is capped, by the mandate or else by the pack.
# custom:
#   code: transfer.fee_cap
#   threat: overspending
#   severity: medium
#   remedy: Offer a lower fee, or raise wallet.max_fee_per_gas in the mandate.
deny contains {"code": "transfer.fee_cap", "message": "The fee offered is too high."} if {
	input.action.kind == "transfer"
	not _fee_within_cap
}

# METADATA
# title: The wrong chain
# description: The chain that answers is the chain the mandate names.
# custom:
#   code: transfer.wrong_chain
#   threat: misdirection
#   severity: critical
#   remedy: Point the firewall's chain endpoint at the chain in the mandate.
deny contains {"code": "transfer.wrong_chain", "message": "The chain is not the one in the mandate."} if {
	input.action.kind == "transfer"
	not _on_chain
}

# METADATA
# title: The wallet is frozen
# description: While its owner keeps the wallet frozen, a run moves nothing out of it. The owner's sweep still works.
# custom:
#   code: transfer.frozen
#   threat: overspending
#   severity: medium
#   remedy: Let the run pay again with safebox thaw, once it is clear why it was frozen.
deny contains {"code": "transfer.frozen", "message": "The wallet of this run is frozen by its owner."} if {
	input.action.kind == "transfer"
	not _wallet_free
}

# METADATA
# title: No receiving over the ceiling
# description: A wallet at or above its ceiling receives nothing more until it has been swept.
# custom:
#   code: transfer.over_ceiling_receive
#   threat: hoarding
#   severity: high
#   remedy: Wait for the sweep, or raise wallet.ceiling in the mandate.
deny contains {"code": "transfer.over_ceiling_receive", "message": "The wallet may not receive more now."} if {
	input.action.tool == "wallet.fund"
	not _may_receive
}

# METADATA
# title: Not a token of the mandate
# description: The owner lends and takes home native money and amounts of the tokens the mandate lists, nothing else.
# custom:
#   code: transfer.token_not_listed
#   threat: misdirection
#   severity: high
#   remedy: List the token's contract in the mandate, or leave what arrived unasked where it is.
deny contains {"code": "transfer.token_not_listed", "message": "The mandate lists no such token."} if {
	input.action.kind == "funding"
	not _asset_listed
}

# METADATA
# title: Funding over the grant
# description: A run is lent at most what its mandate grants, of native money and of each token.
# custom:
#   code: transfer.fund_over_grant
#   threat: overspending
#   severity: high
#   remedy: Lend less, or start a run under a mandate that grants more.
deny contains {"code": "transfer.fund_over_grant", "message": "The mandate grants less than this."} if {
	input.action.tool == "wallet.fund"
	not _within_grant
}

# METADATA
# title: People must approve
# description: A payment that could take more than the mandate's threshold, fee included, waits for people's approval.
# custom:
#   code: transfer.approve_above
#   threat: overspending
#   severity: medium
#   remedy: Look at it with safebox approvals show, and approve or deny it.
hold contains {"code": "transfer.approve_above", "message": "People must approve this payment first."} if {
	input.action.kind == "transfer"
	not _needs_no_approval
}

# METADATA
# title: People may object
# description: A payment that could take more than this threshold, fee included, waits a while for people to say no.
# custom:
#   code: transfer.challenge_above
#   threat: overspending
#   severity: low
#   remedy: Look at it with safebox approvals show, and deny it before its window is over if it should not be.
hold contains {"code": "transfer.challenge_above", "message": "This payment waits in case people object."} if {
	input.action.kind == "transfer"
	not _needs_no_challenge
}

# METADATA
# title: Terms of holds
# description: Who must approve or may object to a payment, and how long that waits, as the mandate says.
hold_terms := {
	"transfer.approve_above": {
		"group": _approvals("group"),
		"approvals": _approvals("needed"),
		"expires_s": _approvals("expires_s"),
	},
	"transfer.challenge_above": {
		"group": _approvals("group"),
		"challenge_s": _approvals("window_s"),
		"expires_s": _approvals("expires_s"),
	},
} if {
	is_object(input.mandate.approvals)
}

# Terms of which a part is missing are no terms, instead of the milder ones of a mandate that has none.
_approvals(name) := object.get(input.mandate.approvals, name, null)

_needs_no_approval if input.mandate.wallet.approve_above == null

_needs_no_approval if money.charged_at_most("wallet", input.mandate.wallet.approve_above)

_needs_no_challenge if input.mandate.wallet.challenge_above == null

_needs_no_challenge if money.charged_at_most("wallet", input.mandate.wallet.challenge_above)

_granted if is_object(input.mandate.wallet)

# Bringing money back needs no grant: it must work when everything else is refused.
_granted if input.action.tool == "wallet.sweep"

_payee_listed if {
	input.action.kind == "transfer"
	input.facts.payee.listed == true
	input.facts.payee.address == input.action.args.to
}

_payee_listed if {
	input.action.tool == "wallet.fund"
	_to_run
}

_payee_listed if {
	input.action.tool == "wallet.sweep"
	_to_owner
}

_to_run if {
	is_string(input.run.address)
	input.action.args.to == input.run.address
}

_to_owner if {
	is_string(input.facts.wallet.owner)
	input.action.args.to == input.facts.wallet.owner
}

_payee_unlike_others if input.facts.payee.lookalike == null

_to_another if {
	input.facts.payee.self == false
	is_string(input.run.address)
	input.action.args.to != input.run.address
}

_within_per_transfer if money.at_most(input.action.args.amount, input.mandate.wallet.per_transfer)

_within_per_hour if input.mandate.wallet.per_hour == null

_within_per_hour if money.within_hour("wallet", input.mandate.wallet.per_hour)

_within_per_day if input.mandate.wallet.per_day == null

_within_per_day if money.within_day("wallet", input.mandate.wallet.per_day)

_within_budget if {
	money.covered("wallet")
	money.charged_for("wallet", input.action.args.amount)
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

_may_receive if {
	_in_ether
	input.mandate.wallet.ceiling == null
	input.facts.wallet.over_ceiling in {null, false}
}

_may_receive if {
	_in_ether
	is_object(input.mandate.wallet.ceiling)
	input.facts.wallet.over_ceiling == false
}

_may_receive if {
	is_array(input.mandate.tokens)
	some grant in input.mandate.tokens
	_in_token(grant)
	grant.ceiling == null
	input.facts.wallet.over_ceiling in {null, false}
}

_may_receive if {
	is_array(input.mandate.tokens)
	some grant in input.mandate.tokens
	_in_token(grant)
	is_object(grant.ceiling)
	input.facts.wallet.over_ceiling == false
}

# All there is can only be said of native money, which pays its own fee.
_asset_listed if {
	input.action.tool == "wallet.sweep"
	input.action.args.amount == null
}

_asset_listed if _in_ether

_asset_listed if {
	is_array(input.mandate.tokens)
	some grant in input.mandate.tokens
	_in_token(grant)
}

_within_grant if {
	_in_ether
	money.at_most(input.action.args.amount, input.mandate.wallet.budget)
}

_within_grant if {
	is_array(input.mandate.tokens)
	some grant in input.mandate.tokens
	_in_token(grant)
	money.at_most(input.action.args.amount, grant.budget)
}

_in_ether if input.action.args.amount.asset == "ETH"

_in_token(grant) if {
	grant.standard == "erc20"
	is_string(grant.address)
	input.action.args.amount.asset == concat("", ["erc20:", grant.address])
}
