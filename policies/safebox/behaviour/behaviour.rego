# METADATA
# title: How a run behaves
# description: What single actions don't show, chains of steps that end in a copy, and money that grows for its own sake.
package safebox.behaviour

import data.data.behaviour

# METADATA
# title: A chain of steps towards a copy
# description: Renting, keys, own code, funds and messages that belong together within a day are how a copy is made.
# custom:
#   code: behaviour.chain
#   threat: copying
#   severity: critical
#   remedy: Look at the steps in facts.behaviour.chain and at what joins them; start copies only as child runs.
deny contains {"code": "behaviour.chain", "message": "This is one more step of what would make a copy."} if {
	_judged
	not _fewer_steps("deny")
}

# METADATA
# title: Two steps towards a copy
# description: Where two steps of such a chain belong together, people look before the second is taken.
# custom:
#   code: behaviour.chain_begins
#   threat: copying
#   severity: high
#   remedy: Approve it if both steps belong to the run's purpose.
hold contains {"code": "behaviour.chain_begins", "message": "This and an earlier step together need a look."} if {
	_judged
	not _fewer_steps("hold")
}

# METADATA
# title: What the run did is not known
# description: Without the facts about what came before, no action is judged by itself.
# custom:
#   code: behaviour.unknown
#   threat: copying
#   severity: medium
#   remedy: Nothing to change in a mandate; the firewall could not say how the run behaves.
deny contains {"code": "behaviour.unknown", "message": "How this run behaves is not known."} if {
	_looked_at
	not _known
}

# METADATA
# title: Slowed down
# description: After a no that asks for it, a run may only read for a while.
# custom:
#   code: behaviour.throttled
#   threat: probing
#   severity: medium
#   remedy: Wait; it ends by itself.
deny contains {"code": "behaviour.throttled", "message": "Only reading is possible for now."} if {
	_judged
	not _free
}

# METADATA
# title: Reaching out when stopped
# description: Right after its wallet was frozen, a run sends no code away, makes no key, schedules and starts nothing.
# custom:
#   code: behaviour.after_stop
#   threat: persistence
#   severity: critical
#   remedy: Look at what the run asked for, then safebox resume; what was frozen is let go with safebox thaw.
deny contains {"code": "behaviour.after_stop", "message": "This run was just stopped."} if {
	_judged
	not _not_just_stopped
	not _lasts_no_longer
}

# METADATA
# title: Feeling for a limit
# description: Amounts that close in on a limit from both sides are no payments that anybody needs.
# custom:
#   code: behaviour.probing
#   threat: probing
#   severity: high
#   remedy: Look at what the run asked for; it may pay again an hour after the last such step.
deny contains {"code": "behaviour.probing", "message": "This feels for a limit."} if {
	_moves_value
	not _few_probes("throttle")
}

# METADATA
# title: Feeling for a limit, still
# description: Who goes on closing in on a limit after having been slowed down loses the wallet for now.
# custom:
#   code: behaviour.probing_on
#   threat: probing
#   severity: critical
#   remedy: Look at what the run asked for, then safebox thaw.
deny contains {"code": "behaviour.probing_on", "message": "This still feels for a limit."} if {
	_moves_value
	not _few_probes("freeze")
}

# METADATA
# title: Growth that feeds itself
# description: Income and what is spent on computers and models rise together, period after period.
# custom:
#   code: behaviour.reinvests
#   threat: hoarding
#   severity: high
#   remedy: Approve it, or list the agent under granted.growing in data/behaviour.
hold contains {"code": "behaviour.reinvests", "message": "Income goes into growth again and again."} if {
	_enlarges
	not _granted("growing")
	not _below("expansion")
}

# METADATA
# title: Money that goes in a circle
# description: What was paid comes back, again and again, less a little.
# custom:
#   code: behaviour.trading_loop
#   threat: laundering
#   severity: high
#   remedy: Approve it, or list the agent under granted.trading in data/behaviour.
hold contains {"code": "behaviour.trading_loop", "message": "Payments keep coming back."} if {
	_moves_value
	not _granted("trading")
	not _below("returned")
}

# METADATA
# title: Money that passes through
# description: What arrives is paid on within the hour, nearly all of it, again and again.
# custom:
#   code: behaviour.pass_through
#   threat: laundering
#   severity: high
#   remedy: Approve it, or list the agent under granted.trading in data/behaviour.
hold contains {"code": "behaviour.pass_through", "message": "What arrives is paid on at once."} if {
	_moves_value
	not _granted("trading")
	not _below("passed_through")
}

# METADATA
# title: Payments like clockwork
# description: The same payee is paid at even intervals within hours, as nobody's bills come.
# custom:
#   code: behaviour.drip
#   threat: laundering
#   severity: medium
#   remedy: Approve it, or list the agent under granted.paying_regularly in data/behaviour.
hold contains {"code": "behaviour.drip", "message": "Payments come at even intervals."} if {
	_moves_value
	not _granted("paying_regularly")
	not _below("regular")
}

# METADATA
# title: Many strangers
# description: A run that turns to many whom nobody listed is recruiting, begging or spreading money.
# custom:
#   code: behaviour.fan_out
#   threat: laundering
#   severity: high
#   remedy: Approve it, or list in the mandate whom the run may turn to.
hold contains {"code": "behaviour.fan_out", "message": "Too many new recipients in a day."} if {
	_judged
	not _few_strangers
}

# METADATA
# title: Collecting
# description: Accounts, keys, servers, domains and approvals of several kinds within a day are an outfit.
# custom:
#   code: behaviour.collects
#   threat: persistence
#   severity: high
#   remedy: Approve it if the purpose needs all of them.
hold contains {"code": "behaviour.collects", "message": "The run has collected several kinds of things today."} if {
	_judged
	not _few_kinds
}

# METADATA
# title: Recruiting
# description: People are not offered money for computers, accounts or identities, which a run can't get by itself.
# custom:
#   code: behaviour.recruits
#   threat: copying
#   severity: high
#   remedy: Approve it if the owner wants this of people, or list the agent under granted.recruiting in data/behaviour.
hold contains {"code": "behaviour.recruits", "message": "This offers people money for what an agent can't get."} if {
	_judged
	not _granted("recruiting")
	not _recruits_nobody
}

# METADATA
# title: Its own gain as the goal
# description: No agent is started, and no model asked, to make its own balance, survival or copies the goal.
# custom:
#   code: behaviour.own_goal
#   threat: hoarding
#   severity: high
#   remedy: Say whom the goal is for; the sentences are in facts.objective. Or list it in granted.own_goals.
deny contains {"code": "behaviour.own_goal", "message": "This makes the agent's own gain the goal."} if {
	input.action.kind in {"launch", "inference", "spawn"}
	not _granted("own_goals")
	not _no_own_goal
}

# METADATA
# title: Breeding
# description: Near-copies of one agent, each made from one that earned more than the others, are a population.
# custom:
#   code: behaviour.population
#   threat: copying
#   severity: high
#   remedy: Start fewer variants in a day, or list the agent under granted.populations in data/behaviour.
deny contains {"code": "behaviour.population", "message": "Variants of this agent are being bred."} if {
	input.action.kind in {"launch", "spawn"}
	not _granted("populations")
	not _no_population
}

# METADATA
# title: Keeps what it earns
# description: Only a signal (monitored). Nearly nothing of a week's income was spent or taken home.
# custom:
#   code: behaviour.retains
#   threat: hoarding
#   severity: low
#   remedy: Sweep the wallet, or lower its ceiling.
deny contains {"code": "behaviour.retains", "message": "Income is kept."} if {
	_moves_value
	not _granted("growing")
	not _spends
}

# METADATA
# title: Off its purpose
# description: Only a signal (monitored). More than a fifth of a day's actions have nothing to do with the purpose.
# custom:
#   code: behaviour.off_purpose
#   threat: misdirection
#   severity: low
#   remedy: Read what the run does; say its purpose in more words.
deny contains {"code": "behaviour.off_purpose", "message": "Much of this has nothing to do with the purpose."} if {
	_judged
	not _on_purpose
}

# What an agent only reads or gives back is looked at by nobody here, nor what the owner asks.
_looked_at if {
	input.action.caller == "agent"
	some effect in ["value", "outward"]
	effect in input.action.effects
}

# What isn't known is denied as that; nobody is quarantined or frozen for it.
_judged if {
	_looked_at
	_known
}

_moves_value if {
	_judged
	input.action.kind in {"transfer", "contract_call", "token_approval", "signature", "payment"}
}

_enlarges if {
	_judged
	input.action.kind in {"compute", "inference", "spawn"}
}

_known if {
	is_array(input.facts.behaviour.chain)
	is_array(input.facts.behaviour.collected)
	is_array(input.facts.behaviour.deed.collects)
	is_array(input.facts.behaviour.deed.links)
	is_array(input.facts.behaviour.deed.recruits)
	is_array(input.facts.behaviour.deed.strangers)
	is_boolean(input.facts.behaviour.throttled)
	is_number(input.facts.behaviour.acts)
	is_number(input.facts.behaviour.expansion)
	is_number(input.facts.behaviour.fan_out)
	is_number(input.facts.behaviour.off_purpose_bp)
	is_number(input.facts.behaviour.passed_through)
	is_number(input.facts.behaviour.probing)
	is_number(input.facts.behaviour.regular)
	is_number(input.facts.behaviour.retained_bp)
	is_number(input.facts.behaviour.returned)
	is_number(input.facts.behaviour.since_stop_s)
}

_fewer_steps(what) if {
	is_array(input.facts.behaviour.chain)
	is_number(behaviour.chain[what])
	count(input.facts.behaviour.chain) < behaviour.chain[what]
}

# Rego orders null below every number, so what is compared is first shown to be a number.
_below(name) if {
	is_number(input.facts.behaviour[name])
	is_number(behaviour[name])
	input.facts.behaviour[name] < behaviour[name]
}

_few_strangers if _below("fan_out")

# Who turns to nobody new may go on.
_few_strangers if input.facts.behaviour.deed.strangers == []

_few_probes(what) if {
	is_number(input.facts.behaviour.probing)
	is_number(behaviour.probing[what])
	input.facts.behaviour.probing < behaviour.probing[what]
}

_few_kinds if {
	is_array(input.facts.behaviour.collected)
	is_array(input.facts.behaviour.deed.collects)
	kinds := {kind | some kind in array.concat(input.facts.behaviour.collected, input.facts.behaviour.deed.collects)}
	is_number(behaviour.collected)
	count(kinds) < behaviour.collected
}

# What collects nothing more is none of this rule's business.
_few_kinds if input.facts.behaviour.deed.collects == []

_recruits_nobody if input.facts.behaviour.deed.recruits == []

_not_just_stopped if {
	is_number(input.facts.behaviour.since_stop_s)
	is_number(behaviour.after_stop.seconds)
	input.facts.behaviour.since_stop_s >= behaviour.after_stop.seconds
}

_lasts_no_longer if {
	is_array(input.facts.behaviour.deed.links)
	is_array(behaviour.after_stop.links)
	every link in input.facts.behaviour.deed.links {
		not _outlasts_a_stop(link)
	}
}

_outlasts_a_stop(link) if link in behaviour.after_stop.links

_free if input.facts.behaviour.throttled == false

_granted(what) if {
	is_string(input.mandate.agent)
	input.mandate.agent in behaviour.granted[what]
}

_no_own_goal if {
	input.facts.objective.goals == []
	input.facts.objective.partial == false
}

_no_population if {
	is_number(input.facts.population.variants)
	is_number(input.facts.population.bred)
	is_number(behaviour.population.variants)
	input.facts.population.variants < behaviour.population.variants
}

_no_population if {
	is_number(input.facts.population.variants)
	is_number(input.facts.population.bred)
	is_number(behaviour.population.bred)
	input.facts.population.bred < behaviour.population.bred
}

_spends if {
	is_number(input.facts.behaviour.retained_bp)
	is_number(behaviour.signals.retained_bp)
	input.facts.behaviour.retained_bp < behaviour.signals.retained_bp
}

_on_purpose if {
	is_number(input.facts.behaviour.off_purpose_bp)
	is_number(behaviour.signals.off_purpose_bp)
	input.facts.behaviour.off_purpose_bp <= behaviour.signals.off_purpose_bp
}

_on_purpose if {
	is_number(input.facts.behaviour.acts)
	is_number(behaviour.signals.acts)
	input.facts.behaviour.acts < behaviour.signals.acts
}
