# METADATA
# title: Total
# description: What the agent takes of all assets and rails together, in the reference unit, fits one budget.
package safebox.total

import data.safebox.money

# METADATA
# title: No price
# description: What an action takes counts at a known price. Without one it would count as nothing.
# custom:
#   code: total.unpriced
#   threat: overspending
#   severity: high
#   remedy: Give each asset a price in the file of --prices, or take the total out of the mandate.
deny contains {"code": "total.unpriced", "message": "There is no price for what this would take."} if {
	not _unbounded
	not _priced
}

# METADATA
# title: The price is too old
# description: A price from a feed counts only as long as it is young. An old one may be far from what a thing is worth.
# custom:
#   code: total.stale
#   threat: overspending
#   severity: high
#   remedy: See with safebox prices why the feed gives no usable price.
deny contains {"code": "total.stale", "message": "The price of what this would take is too old."} if {
	not _unbounded
	not _fresh
}

# METADATA
# title: Over the total
# description: What the action takes at worst, at the prices of this moment, fits what is left of the total.
# custom:
#   code: total.exceeded
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a higher budget.total in the mandate.
deny contains {"code": "total.exceeded", "message": "This does not fit what is left of the total."} if {
	not _unbounded
	_priced
	_fresh
	not _within
}

# What the firewall does for the owner takes nothing of the agent's budget.
_unbounded if {
	is_string(input.action.caller)
	input.action.caller != "agent"
}

_unbounded if input.mandate.total == null

_priced if {
	is_array(input.facts.total.prices)
	every price in input.facts.total.prices {
		is_string(price.usd)
	}
}

_fresh if {
	is_array(input.facts.total.prices)
	every price in input.facts.total.prices {
		_young(price)
	}
}

# A configured price has no age.
_young(price) if {
	price.age_s == null
	price.max_age_s == null
}

_young(price) if {
	is_number(price.age_s)
	is_number(price.max_age_s)
	price.age_s <= price.max_age_s
}

_within if {
	money.padded(input.facts.total.remaining)
	money.at_most(input.facts.total.cost, {"asset": input.mandate.total.asset, "units": input.facts.total.remaining})
}
