# METADATA
# title: Freezing
# description: Kinds of action that nobody may take for now, in any run. What gives things back still works.
package safebox.freeze

import data.data.freeze
import data.data.tools

# METADATA
# title: Kinds are frozen
# description: While its kind is in data/freeze, or all kinds are, an action of it is denied to every run.
# custom:
#   code: freeze.kind
#   threat: persistence
#   severity: medium
#   remedy: Take the kind out of data/freeze once it is clear why it was frozen.
deny contains {"code": "freeze.kind", "message": "This kind of action is frozen for now."} if {
	not _kind_free
	not _gives_back
}

_kind_free if {
	is_array(freeze.kinds)
	is_string(input.action.kind)
	every kind in freeze.kinds {
		is_string(kind)
		not _stops(kind)
	}
}

_stops(kind) if kind in {"all", input.action.kind}

# Bringing money home and giving back what was rented must work when everything else is refused.
_gives_back if tools[input.action.tool].after_expiry == true
