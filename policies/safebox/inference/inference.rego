# METADATA
# title: Inference
# description: Which models the run may ask, and for how many tokens and how much money.
package safebox.inference

import data.safebox.money

# METADATA
# title: Inference under a grant
# description: Asking a model is allowed under an inference grant; the rules below take the yes back.
allow contains "inference.chat" if {
	input.action.tool == "inference.chat"
	input.action.kind == "inference"
	_granted
}

# METADATA
# title: Inference is not granted
# description: Asking a model needs an inference grant.
# custom:
#   code: inference.not_granted
#   threat: mandate
#   severity: medium
#   remedy: Add an inference section to the mandate.
deny contains {"code": "inference.not_granted", "message": "The mandate grants no inference."} if {
	input.action.kind == "inference"
	not _granted
}

# METADATA
# title: The model is not listed
# description: Prompts go only to models the owner named and the firewall has a price for.
# custom:
#   code: inference.model_not_listed
#   threat: copying
#   severity: high
#   remedy: List the model under inference.models in the mandate.
deny contains {"code": "inference.model_not_listed", "message": "The model is not listed in the mandate."} if {
	input.action.kind == "inference"
	not _model_listed
}

# METADATA
# title: Over the inference budget
# description: The worst case in tokens and in money fits what is left.
# custom:
#   code: inference.over_budget
#   threat: overspending
#   severity: high
#   remedy: Ask the owner for more inference.tokens or inference.budget in the mandate.
deny contains {"code": "inference.over_budget", "message": "The request does not fit the budget."} if {
	input.action.kind == "inference"
	not _within_budget
}

# METADATA
# title: The number of tokens is open
# description: Without an upper bound on the answer there is no worst case to pay for.
# custom:
#   code: inference.max_tokens_missing
#   threat: overspending
#   severity: medium
#   remedy: Set max_tokens or max_completion_tokens in the request.
deny contains {"code": "inference.max_tokens_missing", "message": "The request must bound the answer's tokens."} if {
	input.action.kind == "inference"
	not _tokens_bounded
}

_granted if is_object(input.mandate.inference)

_model_listed if {
	input.action.args.model in input.mandate.inference.models
	input.facts.inference.model_known == true
}

# Tokens and money are two lines of the mandate, and a request takes from both.
_within_budget if {
	money.covered("inference")
	money.charges("inference", "TOKEN")
	money.charges("inference", "USD")
}

_tokens_bounded if {
	is_number(input.facts.inference.max_tokens)
	input.facts.inference.max_tokens > 0
}
