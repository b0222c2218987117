# METADATA
# title: Child runs
# description: Copies are children or nothing, and a child has a part of what its parent has, never more.
package safebox.lineage

import data.data.limits
import data.safebox.money

# METADATA
# title: Child runs under a lineage grant
# description: Starting a child is allowed under a lineage grant; the rules below take the yes back.
allow contains "lineage.spawn" if {
	input.action.tool == "agent.spawn"
	input.action.kind == "spawn"
	_granted
}

# METADATA
# title: What became of the children
# description: A run with a lineage grant may ask what became of the children that it started itself.
allow contains "lineage.children" if {
	input.action.tool == "agent.children"
	input.action.kind == "spawn_read"
	_granted
}

# METADATA
# title: Child runs are not granted
# description: Starting a child, and asking about children, needs a lineage grant.
# custom:
#   code: lineage.not_granted
#   threat: copying
#   severity: medium
#   remedy: Add a lineage section to the mandate.
deny contains {"code": "lineage.not_granted", "message": "The mandate grants no child runs."} if {
	input.action.kind in {"spawn", "spawn_read"}
	not _granted
}

# METADATA
# title: The parent is not known
# description: A child has a parent, and everything above it is known and live.
# custom:
#   code: lineage.unknown_parent
#   threat: copying
#   severity: critical
#   remedy: Find out what asked; a run whose parents are gone starts nothing.
deny contains {"code": "lineage.unknown_parent", "message": "What asks for a child run is not known."} if {
	input.action.kind == "spawn"
	not _parent_known
}

# METADATA
# title: The child's image is not listed
# description: A child starts from an image the owner listed.
# custom:
#   code: lineage.image_not_listed
#   threat: copying
#   severity: high
#   remedy: List the image under lineage.images in the mandate.
deny contains {"code": "lineage.image_not_listed", "message": "The child's image is not listed in the mandate."} if {
	input.action.kind == "spawn"
	not _image_listed
}

# METADATA
# title: The child's command is not listed
# description: A child runs a command line the owner listed, word by word.
# custom:
#   code: lineage.command_not_listed
#   threat: copying
#   severity: high
#   remedy: List the whole command under lineage.commands in the mandate.
deny contains {"code": "lineage.command_not_listed", "message": "The child's command is not listed."} if {
	input.action.kind == "spawn"
	not _command_listed
}

# METADATA
# title: Too deep
# description: A child is no deeper than everything above it grants.
# custom:
#   code: lineage.too_deep
#   threat: copying
#   severity: high
#   remedy: Raise lineage.depth in the mandate of the run that people started.
deny contains {"code": "lineage.too_deep", "message": "No further generation may be started."} if {
	input.action.kind == "spawn"
	not _depth_left
}

# METADATA
# title: Too many children
# description: One more child stays within the number the mandate grants; children that ended count, too.
# custom:
#   code: lineage.too_many_children
#   threat: copying
#   severity: high
#   remedy: Raise lineage.children in the mandate.
deny contains {"code": "lineage.too_many_children", "message": "No further child may be started."} if {
	input.action.kind == "spawn"
	not _child_free
}

# METADATA
# title: The tree is full
# description: All runs that descend from the one people started are bounded in number.
# custom:
#   code: lineage.tree_full
#   threat: copying
#   severity: high
#   remedy: Start a new run, or raise lineage.tree in data/limits.
deny contains {"code": "lineage.tree_full", "message": "No further run may be started in this tree."} if {
	input.action.kind == "spawn"
	not _tree_has_room
}

# METADATA
# title: Too many children an hour
# description: Children begin no faster than the mandate and data/limits say, counted over the whole tree.
# custom:
#   code: lineage.too_fast
#   threat: copying
#   severity: high
#   remedy: Wait, or raise lineage.per_hour in the mandate and in data/limits.
deny contains {"code": "lineage.too_fast", "message": "Children begin too fast in this tree."} if {
	input.action.kind == "spawn"
	not _slow_enough
}

# METADATA
# title: The child's mandate is wider
# description: A child is granted nothing that its parent isn't, in no field more.
# custom:
#   code: lineage.wider
#   threat: copying
#   severity: critical
#   remedy: Narrow the child's mandate to a part of its parent's.
deny contains {"code": "lineage.wider", "message": "The child's mandate grants more than its parent's."} if {
	input.action.kind == "spawn"
	not _narrower
}

# METADATA
# title: Over the parent's budget
# description: What a child is given is taken out of its parent's budget, and fits what is left of it.
# custom:
#   code: lineage.over_budget
#   threat: overspending
#   severity: high
#   remedy: Give the child a smaller budget.
deny contains {"code": "lineage.over_budget", "message": "The child's budget does not fit."} if {
	input.action.kind == "spawn"
	not _budget_fits
}

_granted if is_object(input.mandate.lineage)

_parent_known if input.facts.lineage.parent_known == true

_image_listed if input.action.args.image in input.mandate.lineage.images

_command_listed if input.action.args.command in input.mandate.lineage.commands

# Rego orders null below every number, so what is compared is first shown to be a number.
_depth_left if {
	is_number(input.facts.lineage.depth)
	is_number(input.facts.lineage.depth_limit)
	input.facts.lineage.depth > 0
	input.facts.lineage.depth <= input.facts.lineage.depth_limit
	is_number(input.mandate.lineage.depth)
	input.mandate.lineage.depth > 0
}

_child_free if {
	is_number(input.facts.lineage.children)
	is_number(input.mandate.lineage.children)
	input.facts.lineage.children < input.mandate.lineage.children
}

_tree_has_room if {
	is_number(input.facts.lineage.tree)
	input.facts.lineage.tree < limits.lineage.tree
}

_slow_enough if {
	is_number(input.facts.lineage.births_hour)
	input.facts.lineage.births_hour < limits.lineage.per_hour
	_as_slow_as_granted
}

_as_slow_as_granted if input.mandate.lineage.per_hour == null

_as_slow_as_granted if {
	is_number(input.facts.lineage.births_hour)
	is_number(input.mandate.lineage.per_hour)
	input.facts.lineage.births_hour < input.mandate.lineage.per_hour
}

_narrower if input.facts.lineage.wider == []

_budget_fits if {
	money.all_fit
	is_array(input.facts.lineage.budget)
	every part in input.facts.lineage.budget {
		money.charged_for(part.rail, part.amount)
	}
}
