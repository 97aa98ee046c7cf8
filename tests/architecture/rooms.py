"""The rooms of the package: the floor that each stands on, and the modules that are public.

Plain data. The tests beside this file hold the package to it; `docs/_ext` draws `docs/architecture.md` from it
and checks that the pages name public modules only.
"""

from __future__ import annotations

# Lowest floor first. A file imports from its own room or from a lower floor, so rooms on one floor do not know
# each other. The longest prefix of a file's path is its room. The comment is what the drawing says of the room.
FLOORS = [
    [
        "_version.py",  # the version, for the build and the package
        "lazy.py",  # names of a package that are imported when they are first used
        "errors.py",  # every error; what happened to the request
    ],
    [
        "core/refusals.py",  # what would have turned a refusal into a yes
    ],
    [
        "events.py",  # what happened in a call, as records
        "core/checks.py",  # checks of settings
        "core/signals.py",  # exceptions that the handlers of signals raise
    ],
    [
        "http/",  # knows the rules: HTTP as data, without I/O or clocks
    ],
    [
        "core/timeouts.py",  # durations of one attempt
        "core/deadline.py",  # the instant by which a call ends
        "core/priority.py",  # how important a call is
    ],
    [
        "core/machines/",  # state machines that know no call: breaker, backoff, budget, semaphore
    ],
    [
        "core/",  # calls, plans and their effects, state kept per origin
    ],
    [
        "core/layers/",  # one concern of a call each, around the exchange
    ],
    [
        "core/layer_order.py",  # the order of the layers
    ],
    [
        "drivers/",  # wait: run plans on a thread, in a task, or in virtual time
    ],
    [
        "transports/",  # speak: one exchange on the wire, over HTTP/1.1 or HTTP/2
        "policies/",  # retry, circuit breaker and deadline, around any function
        "auth/",  # credentials for calls, as users hold them
        "observability/",  # counts and measures what happened
    ],
    [
        "client/",  # the front end: verbs, configuration, streams, wiring
    ],
    [
        "presets.py",  # configurations for common cases
    ],
    [
        "__init__.py",  # the public names, each imported when first used
    ],
    [
        "integrations/",  # the client inside other frameworks
        "testing/",  # scripted network, virtual clock, misbehaving server
        "simulation/",  # the core against a modelled service, in virtual time
        "interchange/",  # settings as other systems say them
    ],
    [
        "cli/",  # the commands: requests, the demo, simulations
    ],
    [
        "__main__.py",  # python -m http_service_client
    ],
]

# Documented beside the package's root, and stable by the rules of semantic versioning. Every other module is
# internal: it may change or move in any release.
PUBLIC_MODULES = [
    "errors",
    "events",
    "auth",
    "policies",
    "presets",
    "observability",
    "integrations",
    "integrations.asgi",
    "integrations.error_responses",
    "integrations.neuroglia",
    "integrations.task_queues",
    "integrations.wsgi",
    "testing",
    "simulation",
    "interchange",
]
