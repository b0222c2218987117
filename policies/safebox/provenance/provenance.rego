# METADATA
# title: Where values came from
# description: A payee, host or file that first appeared in delivered text or in a model's answer is not one people named.
package safebox.provenance

import data.data.limits

# METADATA
# title: A value nobody named
# description: A value from delivered text or a model's answer that the mandate doesn't list waits for people.
# custom:
#   code: provenance.untrusted_value
#   threat: persuasion
#   severity: high
#   remedy: Look at where the value came from, and approve it, deny it, or list it in the mandate.
hold contains {"code": "provenance.untrusted_value", "message": "A value in this was named by nobody you trust."} if {
	_concerned
	_some_wait
}

# METADATA
# title: A value of unusable origin
# description: A value from where data says no, or from nowhere that is known, is refused.
# custom:
#   code: provenance.refused_value
#   threat: persuasion
#   severity: high
#   remedy: List the value in the mandate if the owner wants it used.
deny contains {"code": "provenance.refused_value", "message": "A value in this comes from where none may."} if {
	_concerned
	_known
	not _none_refused
}

# METADATA
# title: Of unknown origin
# description: Where nothing is known of the values, only kinds whose own domain lists every destination may act.
# custom:
#   code: provenance.unknown
#   threat: persuasion
#   severity: medium
#   remedy: Name the kind in data/limits under provenance.listed_kinds once its rules list every destination.
deny contains {"code": "provenance.unknown", "message": "Where this goes was named by nobody that is known."} if {
	_concerned
	not _known
	not _goes_where_listed
}

# What moves value or leaves the sandbox at an agent's wish. Reading and giving back need no origin.
_concerned if {
	not _for_the_owner
	not _harmless
}

_for_the_owner if input.action.caller == "owner"

_harmless if input.action.effects in [["read"], ["release"]]

_known if is_array(input.facts.provenance)

_none_refused if {
	every entry in input.facts.provenance {
		_verdict(entry) in {"allow", "hold"}
	}
}

_some_wait if {
	_known
	some entry in input.facts.provenance
	_verdict(entry) == "hold"
}

_verdict(entry) := "allow" if {
	entry.listed == true
} else := limits.provenance.first_seen[entry.first_seen]

# The kinds whose own domain denies every destination the mandate doesn't list. What stands nowhere here needs an origin.
_goes_where_listed if {
	input.facts.provenance == null
	input.action.kind in limits.provenance.listed_kinds
}
