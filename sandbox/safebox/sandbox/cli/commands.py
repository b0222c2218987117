"""The table of commands. A command `a b` is the function `a_b` in the module `a_b`, imported when it is called."""

HEADINGS: dict[str, dict[str, str]] = {
    "Agents": {
        "demo": "Watch agents meet the firewall, on stand-ins",
        "init": "Write a commented mandate to start from",
        "mandate check": "Say what a mandate grants, or what is wrong with it",
        "run": "Run an agent in a sandbox, and show all it does",
        "ps": "List the runs",
        "logs": "Show what a run's agent printed",
        "prices": "Show what assets cost, for mandates with a total",
        "kill": "Stop a run, or all of them, at once",
        "pause": "Let a run, or all of them, start nothing for a while",
        "resume": "Let what was paused go on",
        "freeze": "Let a run's wallet pay nobody for a while",
        "thaw": "Let a frozen wallet pay again",
    },
    "People": {
        "approvals list": "List what waits for people",
        "approvals show": "Show all there is to know about one of them",
        "approvals approve": "Say yes to exactly that",
        "approvals deny": "Say no to it, for the rest of its run",
        "approvals keygen": "Make an approver's key",
    },
    "Wallets": {
        "wallet init": "Make the owner's wallet",
        "wallet import": "Use a key there is already as the owner's wallet",
        "wallet show": "Show the owner's wallet and those lent to runs",
        "wallet fund": "Give a run back what was taken from its wallet",
        "wallet sweep": "Take back all that a run's wallet holds",
        "wallet history": "List every movement of money, from the ledger",
    },
    "Policy": {
        "policy check": "Find what is wrong with policies before they act",
        "policy test": "Run the tests of policies",
        "policy eval": "Say what policies answer to one input",
        "policy explain": "Say why, and what would have to differ",
        "policy replay": "Decide a ledger again by changed policies",
        "policy diff": "Show what two policies answer differently",
        "policy bundle build": "Make one file of policies, for people to sign",
        "policy bundle sign": "Sign such a file",
        "policy bundle verify": "Say what is in such a file and who signed it",
        "policy bundle activate": "Have a governed firewall judge by it from now on",
        "policy learn": "Propose what would have allowed a recorded run",
        "attack": "Try a catalogue of attacks on policies and a mandate",
    },
    "Record": {
        "audit tail": "Show what agents asked for and what was decided",
        "audit checkpoint": "Print the newest signed checkpoint, to keep elsewhere",
        "audit export": "Print every event as JSON lines",
        "audit prove": "Prove that a record is in the signed ledger",
        "audit check-proof": "Check such a proof with the public key alone",
        "audit verify": "Check that no record of the ledger was changed",
    },
    "Machine": {
        "doctor": "Check that this machine has what safebox needs",
        "image build": "Build the image agents run in",
        "serve": "Run a firewall that several runs share",
    },
}
"""Heading → command → what it does in one line."""

GROUPS = {
    "mandate": "What a run may do",
    "approvals": "What people decide",
    "wallet": "The owner's money, and what runs were lent of it",
    "policy": "The rules that judge",
    "policy bundle": "Policies that people sign",
    "audit": "The record of every decision",
    "image": "What agents run in",
}
"""The first words of commands of two or three words."""

COMMANDS = {command: line for commands in HEADINGS.values() for command, line in commands.items()}
