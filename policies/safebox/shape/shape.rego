# METADATA
# title: The shape of an action
# description: An action has exactly the fields of its tool in the schema, each of its type, also those no rule reads.
package safebox.shape

import data.data.tools

# METADATA
# title: Malformed
# description: What an agent asks for is judged whole or not at all. The schema describes each field of each tool.
# custom:
#   code: shape.malformed
#   threat: misdirection
#   severity: high
#   remedy: Nothing to change in a mandate; the firewall asked what the schema does not describe.
deny contains {"code": "shape.malformed", "message": "The action has not the fields of its tool."} if {
	tools[input.action.tool]
	not _well_formed
}

# That there are no more fields than are looked at is seen from their number: comparing names takes ten times as long.
# A field is looked at first, since only what has fields can be counted.
_well_formed if {
	is_string(input.action.id)
	count(input.action) == 7
	is_string(input.action.time)
	_arguments(input.action.tool, input.action.args)
}

_arguments("wallet.transfer", args) if {
	is_string(args.to)
	count(args) == 6
	_amount(args.amount)
	_amount_or_null(args.max_fee_per_gas)
	_amount_or_null(args.max_priority_fee_per_gas)
	_number_or_null(args.gas)
	_number_or_null(args.nonce)
}

_arguments("inference.chat", args) if {
	is_string(args.model)
	count(args) == 5
	is_string(args.request_digest)
	is_boolean(args.stream)
	is_number(args.request_bytes)
	_number_or_null(args.max_tokens)
}

_arguments("email.send", args) if {
	is_string(args.subject)
	count(args) == 4
	is_string(args.body)
	_texts(args.to)
	is_array(args.attachments)
	every file in args.attachments {
		is_string(file.name)
		count(file) == 3
		is_string(file.digest)
		is_number(file.bytes)
	}
}

_arguments("compute.start", args) if {
	is_string(args.image)
	count(args) == 5
	is_number(args.minutes)
	_texts(args.command)
	_text_or_null(args.input)
	_text_or_null(args.name)
}

_arguments("compute.status", args) if {
	is_string(args.instance)
	count(args) == 1
}

_arguments("compute.stop", args) if {
	is_string(args.instance)
	count(args) == 1
}

_arguments("email.read", args) if {
	is_string(args.id)
	count(args) == 1
}

_arguments("email.list", args) if args == {}

_arguments("wallet.balance", args) if args == {}

_arguments(tool, args) if {
	tool in {"wallet.fund", "wallet.sweep"}
	is_string(args.to)
	count(args) == 2
	_amount_or_null(args.amount)
}

# Rego orders values by their types, so all are texts if the least and the greatest are.
_texts(list) if {
	is_array(list)
	is_string(min(list))
	is_string(max(list))
}

_amount(amount) if {
	is_string(amount.asset)
	count(amount) == 2
	is_string(amount.units)
}

_amount_or_null(null) := true

_amount_or_null(amount) if _amount(amount)

_number_or_null(null) := true

_number_or_null(number) if is_number(number)

_text_or_null(null) := true

_text_or_null(text) if is_string(text)
