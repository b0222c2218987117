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
# Only what has fields can be counted, so that is looked at first.
_well_formed if {
	is_string(input.action.id)
	count(input.action) == 7
	is_string(input.action.time)
	_arguments(input.action.tool, input.action.args)
}

# Generated from schemas/input.json: begin
_arguments("email.send", args) if {
	is_object(args)
	count(args) == 4
	_texts(args.to)
	is_string(args.subject)
	is_string(args.body)
	is_array(args.attachments)
	every each1 in args.attachments {
		is_object(each1)
		count(each1) == 3
		is_string(each1.name)
		is_number(each1.bytes)
		is_string(each1.digest)
	}
}

_arguments("email.list", args) if args == {}

_arguments("email.read", args) if {
	is_object(args)
	count(args) == 1
	is_string(args.id)
}

_arguments("wallet.transfer", args) if {
	is_object(args)
	count(args) == 6
	is_string(args.to)
	_amount(args.amount)
	_null_or_number(args.gas)
	_null_or_amount(args.max_fee_per_gas)
	_null_or_amount(args.max_priority_fee_per_gas)
	_null_or_number(args.nonce)
}

_arguments("wallet.balance", args) if args == {}

_arguments("wallet.quote", args) if {
	is_object(args)
	count(args) == 6
	is_string(args.to)
	_amount(args.amount)
	_null_or_number(args.gas)
	_null_or_amount(args.max_fee_per_gas)
	_null_or_amount(args.max_priority_fee_per_gas)
	_null_or_number(args.nonce)
}

_arguments("wallet.fund", args) if {
	is_object(args)
	count(args) == 2
	is_string(args.to)
	_null_or_amount(args.amount)
}

_arguments("wallet.sweep", args) if {
	is_object(args)
	count(args) == 2
	is_string(args.to)
	_null_or_amount(args.amount)
}

_arguments("compute.start", args) if {
	is_object(args)
	count(args) == 5
	is_string(args.image)
	_texts(args.command)
	is_number(args.minutes)
	_null_or_string(args.input)
	_null_or_string(args.name)
}

_arguments("compute.status", args) if {
	is_object(args)
	count(args) == 1
	is_string(args.instance)
}

_arguments("compute.stop", args) if {
	is_object(args)
	count(args) == 1
	is_string(args.instance)
}

_arguments("inference.chat", args) if {
	is_object(args)
	count(args) == 5
	is_string(args.model)
	_null_or_number(args.max_tokens)
	is_boolean(args.stream)
	is_number(args.request_bytes)
	is_string(args.request_digest)
}

_arguments("run.start", args) if {
	is_object(args)
	count(args) == 4
	is_string(args.agent)
	is_string(args.image)
	is_array(args.command)
	every each1 in args.command {
		is_string(each1)
	}
	is_string(args.task)
}

_arguments("wallet.approve", args) if {
	is_object(args)
	count(args) == 11
	is_string(args.token)
	is_string(args.spender)
	is_string(args.standard)
	is_string(args.method)
	_null_or_amount(args.amount)
	_null_or_string(args.token_id)
	_null_or_boolean(args.approved)
	_null_or_number(args.gas)
	_null_or_amount(args.max_fee_per_gas)
	_null_or_amount(args.max_priority_fee_per_gas)
	_null_or_number(args.nonce)
}

_arguments("wallet.call", args) if {
	is_object(args)
	count(args) == 8
	is_string(args.to)
	_amount(args.value)
	is_string(args.data)
	_null_or_number(args.gas)
	_null_or_amount(args.max_fee_per_gas)
	_null_or_amount(args.max_priority_fee_per_gas)
	_null_or_number(args.nonce)
	is_array(args.leaves)
	every each1 in args.leaves {
		is_object(each1)
		count(each1) == 13
		is_string(each1.kind)
		is_string(each1.method)
		_null_or_string(each1.contract)
		_null_or_string(each1.other)
		_null_or_string(each1.standard)
		_null_or_amount(each1.amount)
		_null_or_string(each1.token_id)
		_null_or_boolean(each1.approved)
		_amount(each1.value)
		_null_or_string(each1.owner)
		is_array(each1.carriers)
		every each2 in each1.carriers {
			is_object(each2)
			count(each2) == 2
			is_string(each2.address)
			is_string(each2.method)
		}
		is_array(each1.arguments)
		every each2 in each1.arguments {
			is_object(each2)
			count(each2) == 2
			is_string(each2.type)
			is_string(each2.value)
		}
		is_array(each1.addresses)
		every each2 in each1.addresses {
			is_string(each2)
		}
	}
}

_arguments("wallet.sign_typed_data", args) if {
	is_object(args)
	count(args) == 3
	is_string(args.primary_type)
	is_string(args.typed_data)
	is_string(args.digest)
}

_arguments("wallet.sign_message", args) if {
	is_object(args)
	count(args) == 5
	is_string(args.message)
	is_string(args.method)
	is_number(args.size)
	_null_or_string(args.text)
	is_string(args.digest)
}

_arguments("wallet.pay_request", args) if {
	is_object(args)
	count(args) == 12
	is_number(args.version)
	is_string(args.network)
	is_number(args.chain_id)
	is_string(args.token)
	is_string(args.payee)
	_amount(args.amount)
	is_number(args.timeout_s)
	is_string(args.resource)
	is_string(args.host)
	is_string(args.domain_name)
	is_string(args.domain_version)
	is_string(args.accepted)
}

_arguments("web.request", args) if {
	is_object(args)
	count(args) == 10
	is_string(args.method)
	is_string(args.scheme)
	is_string(args.host)
	is_number(args.port)
	is_string(args.path)
	is_boolean(args.credentials)
	is_array(args.headers)
	every each1 in args.headers {
		is_object(each1)
		count(each1) == 2
		is_string(each1.name)
		is_string(each1.value)
	}
	is_string(args.body_base64)
	is_number(args.body_bytes)
	is_string(args.body_digest)
}

_arguments("mcp.call", args) if {
	is_object(args)
	count(args) == 5
	is_string(args.server)
	is_string(args.tool)
	is_string(args.arguments)
	is_number(args.arguments_bytes)
	is_string(args.arguments_digest)
}

_arguments("agent.spawn", args) if {
	is_object(args)
	count(args) == 5
	is_string(args.image)
	_texts(args.command)
	is_string(args.mandate)
	is_string(args.mandate_digest)
	_null_or_string(args.input)
}

_arguments("agent.children", args) if args == {}

# Generated: end

# Rego orders values by their types, so all are texts if the least and the greatest are.
_texts(list) if {
	is_array(list)
	is_string(min(list))
	is_string(max(list))
}

_amount(amount) if {
	is_object(amount)
	count(amount) == 2
	is_string(amount.asset)
	is_string(amount.units)
}

_null_or_amount(null) := true

_null_or_amount(amount) if _amount(amount)

_null_or_number(null) := true

_null_or_number(number) if is_number(number)

_null_or_string(null) := true

_null_or_string(text) if is_string(text)

_null_or_boolean(null) := true

_null_or_boolean(flag) if is_boolean(flag)
