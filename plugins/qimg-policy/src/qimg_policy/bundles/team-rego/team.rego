# The profile team. The same decisions as team.cedar: a control is satisfied only by what the input says, never by what
# it lacks, as a comparison with a missing field is undefined.
#
# POST /v1/data/qimg/admission answers with the object below. Everything in it has a value for every input: one undefined
# part would make the whole object undefined.
package qimg

import rego.v1

admission := {
	"allow": allow,
	"controls": controls,
	"deny": deny,
	"errors": [],
	"obligations": obligations,
	"words": words,
}

default allow := false

allow if {
	count(controls) > 0
	count(deny) == 0
}

# Words of the input that several rules ask for.
here if input.zone in {"process", "machine"}

harmless if input.sensitivity in {"public", "synthetic"}

# --- controls: sets, which JSON gives as arrays

controls contains "reach" if here

controls contains "reach" if {
	input.provider_approved == true
	input.sensitivity in {"public", "synthetic", "internal"}
}

controls contains "reach" if {
	input.provider_approved == true
	input.sensitivity == "confidential"
	"data" in input.approvals
}

controls contains "residency" if input.region == "local"

controls contains "residency" if harmless

controls contains "residency" if {
	input.region == input.data_region
	input.region != "unstated"
}

controls contains "consent" if {
	input.sensitivity in {"unstated", "public", "synthetic", "internal", "confidential"}
}

controls contains "consent" if input.consent == "given"

controls contains "export" if here

controls contains "export" if input.export_class == "not_controlled"

controls contains "export" if {
	input.export_class == "dual_use"
	"export" in input.approvals
}

# A cost that is not known is absent. In Rego every number is below every text, so that the type is asked, too.
controls contains "price" if {
	is_number(input.cost_micro)
	input.cost_micro >= 0
	input.cost_micro <= 50000000
}

controls contains "price" if {
	is_number(input.cost_micro)
	"cost" in input.approvals
}

controls contains "mark-published" if published

obligations contains "label" if published

published if {
	input.activity == "generate"
	input.purpose in {"publication", "production"}
}

# --- what is forbidden

deny["withdrawn"] := words.withdrawn.reason if input.consent == "withdrawn"

deny["tainted"] := words.tainted.reason if input.manifest == "failed"

deny["high-risk"] := words["high-risk"].reason if {
	input.risk_tier == "high"
	not "ethics" in input.approvals
}

# --- how the rules explain themselves

words := {
	"reach": {
		"reason": "data leaves this machine only to an approved provider, and personal data not at all",
		"satisfy": "run on the simulator; or state a sensitivity up to internal and use a provider that policy.toml approves",
		"approval": "data",
	},
	"residency": {
		"reason": "data that is neither public nor synthetic is computed where it has to stay",
		"satisfy": "state --stated region=... and use a device of that region",
	},
	"consent": {
		"reason": "personal data is used with the consent of its people",
		"satisfy": "state --stated consent=given, or use synthetic data",
	},
	"export": {
		"reason": "what leaves this machine is not under export control",
		"satisfy": "state export_class=not_controlled, in the session's context or in [context] of policy.toml",
		"approval": "export",
	},
	"price": {
		"reason": "a request costs at most 50 units of its currency, or somebody has agreed",
		"satisfy": "ask for fewer shots or images, or get it approved",
		"approval": "cost",
	},
	"withdrawn": {
		"reason": "the people whose data it is have withdrawn their consent",
		"satisfy": "use other data",
	},
	"tainted": {
		"reason": "the dataset's manifest does not hold: a file was changed, or its signature is forged",
		"satisfy": "restore the files, or sign a new manifest",
	},
	"high-risk": {
		"reason": "a high-risk use needs an ethical review",
		"satisfy": "get it approved",
		"approval": "ethics",
	},
	"mark-published": {
		"reason": "images for the public say what made them",
		"satisfy": "install and configure a plugin that marks images",
	},
}
