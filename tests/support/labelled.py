"""What people ask for, each request labelled by hand with the team that it deserves and the kind of work that it is.

How they were labelled: `single` where one agent is done comfortably within one session; `pair` where there is more to
look at than fits one head, where things stand side by side, or where a mistake is costly; `team` where looking,
changing and judging are all real work. Written and labelled before the weights; those in `HELD_OUT` were never looked
at while the weights were chosen.
"""

from typing import Final

Example = tuple[str, str, str]
"""Mode, kind, request."""

TUNED: Final[tuple[Example, ...]] = (
    ("single", "fix", "fix the typo in README"),
    ("single", "search", "where is the config read?"),
    ("single", "review", "review this function"),
    ("single", "refactor", "rename foo to bar"),
    ("single", "analyze", "explain how the retry loop in src/client/retry.py works"),
    ("single", "implement", "add a --verbose flag to the CLI"),
    ("single", "test", "add a unit test for parse_date with an empty string"),
    ("single", "document", "write a docstring for the Cache class"),
    ("single", "fix", "the login button is misaligned on mobile, fix it"),
    ("single", "implement", "bump lodash to 4.17.21"),
    ("single", "search", "find where we set the session cookie"),
    ("single", "fix", "NullPointerException in UserService.java line 42 when the user has no email"),
    ("single", "implement", "add an index on orders.customer_id"),
    ("single", "refactor", "extract the validation in create_order into its own function"),
    ("single", "analyze", "why is this test flaky? tests/test_upload.py::test_retry"),
    ("single", "document", "update the changelog for 2.3.1"),
    ("single", "implement", "make the default timeout 30 seconds instead of 10"),
    ("single", "search", "which tests cover the invoice parser?"),
    ("single", "review", "look over my last commit"),
    ("single", "refactor", "remove the unused imports in utils.py"),
    ("single", "fix", "run the tests and fix the one that fails in test_config.py"),
    ("single", "implement", "Create a Dockerfile for this service"),
    ("single", "analyze", 'what does the feature flag "new_checkout" do?'),
    ("single", "fix", 'CI fails with "ModuleNotFoundError: yaml", fix it'),
    ("single", "search", "list all TODO comments"),
    ("single", "implement", "add a healthcheck endpoint that answers 200"),
    ("pair", "search", "find all authentication patterns across the codebase"),
    ("pair", "review", "audit the entire codebase for security problems"),
    ("pair", "implement", "find where sessions are stored, then implement expiry with tests"),
    ("pair", "fix", "Users sometimes see other users' data after login. Find out why and fix it."),
    ("pair", "refactor", "refactor the payment module to use the new Stripe API"),
    ("pair", "implement", "add OAuth login with Google and write tests for it"),
    ("pair", "analyze", "compare how the three services handle retries and rate limits"),
    ("pair", "search", "search the whole repository for every place that builds SQL from strings"),
    ("pair", "implement", "implement rate limiting for the public API, with tests"),
    ("pair", "fix", "we have a memory leak in the worker, investigate and fix"),
    ("pair", "analyze", "analyze src/ for performance problems and code quality"),
    ("pair", "review", "review the changes in src/api, src/db and src/auth for security problems"),
    ("pair", "implement", "Add pagination to the users, orders and invoices endpoints"),
    ("pair", "test", "Write tests for the parser, the lexer and the code generator"),
    ("pair", "document", "Document every public function in the API and check the examples against the code"),
    ("pair", "fix", "Race condition: two workers can claim the same job. Reproduce it and fix it."),
    ("pair", "refactor", "Replace moment.js by date-fns everywhere"),
    (
        "pair",
        "analyze",
        "How do requests flow through the system, from the load balancer to the database? All services.",
    ),
    ("pair", "refactor", "Migrate the user table to the new schema, with a script that can be rolled back"),
    (
        "pair",
        "analyze",
        "Investigate why the nightly build got 20 minutes slower since last month: dependencies, tests, or the cache?",
    ),
    ("pair", "fix", "fix all mypy errors in src/core, src/api and src/cli"),
    ("pair", "review", "Do a threat model of the upload feature"),
    (
        "team",
        "refactor",
        "refactor auth across the whole codebase: first find every token, then migrate, then review the security",
    ),
    (
        "team",
        "implement",
        "design and implement a new permission system, write tests, and review it for race conditions everywhere",
    ),
    (
        "team",
        "implement",
        "Build a REST API for orders, products and customers with authentication, tests and documentation",
    ),
    (
        "team",
        "refactor",
        (
            "Migrate the entire frontend from JavaScript to TypeScript, package by package, keep the tests green and have "
            "it reviewed"
        ),
    ),
    (
        "team",
        "implement",
        (
            "Add multi-tenancy: find all queries that need a tenant id, change them, write tests for isolation and audit "
            "the result for leaks"
        ),
    ),
    (
        "team",
        "refactor",
        (
            "Split the monolith into services: auth, billing and notifications. Design the interfaces first, then move the "
            "code, then test."
        ),
    ),
    (
        "team",
        "fix",
        "Find and fix all SQL injection vulnerabilities across the codebase, add regression tests, and verify each fix",
    ),
    (
        "team",
        "implement",
        (
            "We need to support SSO for enterprise customers.\n1. SAML login with metadata upload\n2. SCIM provisioning of "
            "users and groups\n3. An admin page to configure both\n4. Audit log of all logins\n5. Tests and docs for "
            "everything"
        ),
    ),
    (
        "team",
        "refactor",
        (
            "Replace our hand-written ORM by SQLAlchemy in the whole repository; performance must not get worse; every "
            "query needs a test"
        ),
    ),
    ("team", "fix", "Security audit of the whole application, fix all findings, and write a report"),
    (
        "team",
        "implement",
        (
            "Implement end-to-end encryption for messages in the backend, the web client and the mobile app, with tests "
            "and a security review"
        ),
    ),
    (
        "team",
        "refactor",
        (
            "Rewrite the concurrency layer: find all locks, design a new scheme, implement it, and prove by stress tests "
            "that there are no deadlocks"
        ),
    ),
    (
        "team",
        "refactor",
        (
            "Upgrade Django from 3.2 to 5.1 across all apps: find deprecated calls, fix them, update tests, review "
            "security settings"
        ),
    ),
    (
        "team",
        "implement",
        "Build the whole checkout: cart, payment, order confirmation email, admin view; tests for each",
    ),
)

HELD_OUT: Final[tuple[Example, ...]] = (
    ("single", "search", "what version of node do we use?"),
    ("single", "fix", "fix the off-by-one in paginate()"),
    ("single", "refactor", "Please sort the imports in app/models.py"),
    ("single", "search", "Is there a helper for slugs already?"),
    ("single", "document", "write a README section on installing with pip"),
    ("single", "fix", "the date on invoices is wrong by one day, please fix"),
    ("single", "review", "review my pull request"),
    ("single", "implement", "change the color of the header to #333"),
    ("single", "implement", "add logging to the import job"),
    ("single", "analyze", "explain the architecture of this project"),
    ("single", "search", "Wo wird die Konfiguration gelesen?"),
    ("single", "fix", "Corrige la faute dans le README"),
    (
        "pair",
        "refactor",
        "find every place that reads environment variables and move them into one config module",
    ),
    ("pair", "search", "check that all endpoints require authentication and list those that don't"),
    ("pair", "implement", "implement password reset by email, including tests"),
    (
        "pair",
        "fix",
        "The import of large CSV files runs out of memory. Find the cause, fix it and make sure it stays fixed.",
    ),
    ("pair", "review", "review src/billing for correctness and security"),
    ("pair", "analyze", "Analyze the dependencies of all packages: outdated, unused, insecure"),
    ("pair", "implement", "add dark mode to the settings page, the dashboard and the login page"),
    ("pair", "document", "Update the docs of all commands in docs/cli, docs/api and docs/guides"),
    ("pair", "refactor", "Port the Python 2 scripts in tools/ to Python 3 and test them"),
    (
        "team",
        "implement",
        (
            "Introduce event sourcing for orders: design the events, migrate existing data, rewrite the handlers, test and "
            "review everything"
        ),
    ),
    (
        "team",
        "fix",
        (
            "Harden the whole platform: find missing authorization checks, fix them, add tests, and have the result "
            "reviewed"
        ),
    ),
    (
        "team",
        "implement",
        (
            "Build a plugin system for the editor: API design, loader, sandbox, three example plugins, tests and "
            "documentation"
        ),
    ),
    (
        "team",
        "refactor",
        (
            "Move all services from REST to gRPC: inventory the endpoints, write proto files, change clients and servers, "
            "and verify performance"
        ),
    ),
    (
        "team",
        "implement",
        "Add GDPR export and deletion of user data in every service, with audit log and tests; security must sign off",
    ),
)
