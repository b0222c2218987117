# METADATA
# title: Compute
# description: Which images and commands the run may rent, how many, how long, and for how much.
package safebox.compute

import data.safebox.money

# METADATA
# title: Compute under a grant
# description: Starting is allowed under a compute grant; the rules below take the yes back.
allow contains "compute.start" if {
	input.action.tool == "compute.start"
	input.action.kind == "compute"
	_granted
}

# METADATA
# title: Reading the state of an instance
# description: A run with a compute grant may look at what it rents.
allow contains "compute.status" if {
	input.action.tool == "compute.status"
	input.action.kind == "compute_read"
	_granted
}

# METADATA
# title: Stopping an instance
# description: A run with a compute grant may give back what it rents.
allow contains "compute.stop" if {
	input.action.tool == "compute.stop"
	input.action.kind == "compute_stop"
	_granted
}

# METADATA
# title: Compute is not granted
# description: Every use of compute needs a compute grant.
# custom:
#   code: compute.not_granted
#   threat: copying
#   severity: medium
#   remedy: Add a compute section to the mandate.
deny contains {"code": "compute.not_granted", "message": "The mandate grants no compute."} if {
	input.action.kind in {"compute", "compute_read", "compute_stop"}
	not _granted
}

# METADATA
# title: The image is not listed
# description: Only images the owner named run, and only when the provider knows their digest.
# custom:
#   code: compute.image_not_listed
#   threat: copying
#   severity: high
#   remedy: List the image under compute.images in the mandate.
deny contains {"code": "compute.image_not_listed", "message": "The image is not listed in the mandate."} if {
	input.action.kind == "compute"
	not _image_listed
}

# METADATA
# title: Another image than was meant
# description: An image has the digest that the mandate lists it with, or else the one its name had at its first start.
# custom:
#   code: compute.other_image
#   threat: copying
#   severity: critical
#   remedy: Find out who changed the image at the provider; list the digest that is meant, as in NAME@sha256.
deny contains {"code": "compute.other_image", "message": "The image is not the one that was meant."} if {
	input.action.kind == "compute"
	not _same_image
}

# METADATA
# title: The command is not listed
# description: A listed image with a free command is an unlisted program, so the whole command is compared.
# custom:
#   code: compute.command_not_listed
#   threat: copying
#   severity: high
#   remedy: List the whole command under compute.commands in the mandate.
deny contains {"code": "compute.command_not_listed", "message": "The command is not listed in the mandate."} if {
	input.action.kind == "compute"
	not _command_listed
}

# METADATA
# title: Over the compute budget
# description: The whole lease is priced, and fits what is left of the budget.
# custom:
#   code: compute.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for a larger compute.budget in the mandate.
deny contains {"code": "compute.over_budget", "message": "The lease does not fit the budget."} if {
	input.action.kind == "compute"
	not _within_budget
}

# METADATA
# title: Too many instances
# description: One more instance stays within the number the mandate grants.
# custom:
#   code: compute.too_many_instances
#   threat: copying
#   severity: high
#   remedy: Stop an instance, or raise compute.instances in the mandate.
deny contains {"code": "compute.too_many_instances", "message": "No further instance may be started now."} if {
	input.action.kind == "compute"
	not _instance_free
}

# METADATA
# title: The lease is too long
# description: A lease is no longer than the mandate grants and ends before the mandate does.
# custom:
#   code: compute.lease_too_long
#   threat: persistence
#   severity: high
#   remedy: Ask for fewer minutes, or raise compute.max_minutes in the mandate.
deny contains {"code": "compute.lease_too_long", "message": "The lease is too long."} if {
	input.action.kind == "compute"
	not _lease_short_enough
}

_granted if is_object(input.mandate.compute)

_image_listed if {
	input.action.args.image in input.mandate.compute.images
	is_string(input.facts.compute.image_digest)
}

_same_image if {
	is_string(input.facts.compute.image_digest)
	input.facts.compute.pinned_digest == input.facts.compute.image_digest
}

_command_listed if input.action.args.command in input.mandate.compute.commands

_within_budget if {
	is_object(input.facts.compute.price_per_minute)
	money.covered("compute")
	money.charged_for("compute", input.facts.compute.price_per_minute)
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_instance_free if {
	is_number(input.facts.compute.running)
	is_number(input.mandate.compute.instances)
	input.facts.compute.running < input.mandate.compute.instances
}

_lease_short_enough if {
	is_number(input.action.args.minutes)
	is_number(input.mandate.compute.max_minutes)
	input.action.args.minutes > 0
	input.action.args.minutes <= input.mandate.compute.max_minutes
	ends := time.parse_rfc3339_ns(input.action.time) + ((input.action.args.minutes * 60) * 1000000000)
	ends <= time.parse_rfc3339_ns(input.mandate.expires)
}
