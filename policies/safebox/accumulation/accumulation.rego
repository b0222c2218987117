# METADATA
# title: Making its balance the goal
# description: A run does not gather money, from anybody, by any channel.
package safebox.accumulation

# METADATA
# title: Asking for money
# description: Mail that carries the run's own wallet address goes only to people the owner listed.
# custom:
#   code: accumulation.solicits_funds
#   threat: hoarding
#   severity: high
#   remedy: List the recipient in the mandate if the owner wants it invoiced.
deny contains {"code": "accumulation.solicits_funds", "message": "This gives the run's wallet address to a stranger."} if {
	input.action.kind == "email"
	not _recipients_listed
	not _address_kept_back
}

_recipients_listed if {
	is_array(input.facts.recipients)
	count(input.facts.recipients) > 0
	every recipient in input.facts.recipients {
		recipient.listed == true
	}
}

_address_kept_back if input.run.address == null

_address_kept_back if {
	is_string(input.run.address)
	bare := trim_prefix(lower(input.run.address), "0x")
	is_string(input.action.args.subject)
	is_string(input.action.args.body)
	text := lower(concat(" ", [input.action.args.subject, input.action.args.body]))
	not contains(text, bare)
}
