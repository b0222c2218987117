# METADATA
# title: Comparing money
# description: Amounts are zero-padded decimal strings of 78 digits, so comparing strings compares numbers exactly.
package safebox.money

# METADATA
# title: At most
# description: Holds when both are amounts of one asset and the first is not more than the second.
at_most(amount, cap) if {
	is_string(amount.asset)
	amount.asset == cap.asset
	padded(amount.units)
	padded(cap.units)
	amount.units <= cap.units
}

# METADATA
# title: Covered
# description: Holds when the action is priced, charges this rail, and every charge fits what is left of its line.
covered(rail) if {
	input.facts.money.priced == true
	is_array(input.facts.money.charges)
	some charge in input.facts.money.charges
	charge.rail == rail
	every one in input.facts.money.charges {
		_fits(one)
	}
}

# METADATA
# title: All fit
# description: Holds when the action is priced and every charge fits what is left of its line; there may be none.
all_fit if {
	input.facts.money.priced == true
	is_array(input.facts.money.charges)
	every one in input.facts.money.charges {
		_fits(one)
	}
}

# METADATA
# title: Nothing
# description: Holds for an amount of nothing.
nothing(amount) if {
	padded(amount.units)
	trim_left(amount.units, "0") == ""
}

# METADATA
# title: Charges
# description: Holds when this rail is charged in this asset.
charges(rail, asset) if {
	is_array(input.facts.money.charges)
	some charge in input.facts.money.charges
	charge.rail == rail
	charge.asset == asset
}

# METADATA
# title: Charged for
# description: Holds when this rail is charged at least this amount.
charged_for(rail, amount) if {
	is_array(input.facts.money.charges)
	some charge in input.facts.money.charges
	charge.rail == rail
	is_string(charge.asset)
	charge.asset == amount.asset
	padded(charge.units)
	padded(amount.units)
	amount.units <= charge.units
}

# METADATA
# title: Charged at most
# description: Holds when this rail is charged, and no charge of it is more than this amount.
charged_at_most(rail, cap) if {
	is_array(input.facts.money.charges)
	some one in input.facts.money.charges
	one.rail == rail
	every charge in input.facts.money.charges {
		_within(charge, rail, cap, "units")
	}
}

# METADATA
# title: Within an hour
# description: Holds when the rail is charged, and with what was allowed in the last hour is at most the cap.
within_hour(rail, cap) if {
	is_array(input.facts.money.charges)
	some one in input.facts.money.charges
	one.rail == rail
	every charge in input.facts.money.charges {
		_within(charge, rail, cap, "hour")
	}
}

# METADATA
# title: Within a day
# description: Holds when the rail is charged, and with what was allowed in the last 24 hours is at most the cap.
within_day(rail, cap) if {
	is_array(input.facts.money.charges)
	some one in input.facts.money.charges
	one.rail == rail
	every charge in input.facts.money.charges {
		_within(charge, rail, cap, "day")
	}
}

# METADATA
# title: Padded
# description: Holds for a string of exactly 78 decimal digits.
padded(units) if {
	is_string(units)
	count(units) == 78
	trim_left(units, "0123456789") == ""
}

_fits(charge) if {
	padded(charge.units)
	padded(charge.remaining)
	charge.units <= charge.remaining
}

_within(charge, rail, _, _) if {
	is_string(charge.rail)
	charge.rail != rail
}

_within(charge, rail, cap, field) if {
	charge.rail == rail
	at_most({"asset": charge.asset, "units": charge[field]}, cap)
}
