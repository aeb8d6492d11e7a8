"""What the services' `reset-login` programs share: the user is their first argument, the new password the first line of standard
input. Nothing of it ever stands on a command line."""

import contextlib
import os
import subprocess
import sys

import wiring

# PostgreSQL makes the hash by an extension that is gone when the transaction is rolled back. What fails is not logged.
BCRYPT = """SET log_min_error_statement = panic;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
SELECT crypt({password}, gen_salt('bf', 10)) AS hash \\gset
ROLLBACK;
UPDATE "user" SET password = :'hash' WHERE {where} RETURNING 'changed';
"""


def asked():
    """The user, and the new password."""
    return sys.argv[1], sys.stdin.readline().rstrip("\n")


def within(container, *command, user=None, given=None, variables=None):
    """What a command in a container prints. `given` is its standard input, `variables` are handed over by name."""
    options = [*(["--user", user] if user else []), *(word for name in variables or {} for word in ("--env", name))]
    words = ["docker", "exec", "--interactive", *options, container, *command]
    done = subprocess.run(
        words, check=False, input=given or "", capture_output=True, text=True, env={**os.environ, **(variables or {})}
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"status {done.returncode}"]
        raise wiring.Trouble(f"{container} could not do it: {said[-1][:300]}")
    return done.stdout


def literal(text):
    """A text for PostgreSQL, whatever stands in it."""
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def in_postgres(container, database, where, user, password):
    """Sets a bcrypt hash in the table `user`; `where` is SQL with {user} in it."""
    script = BCRYPT.format(password=literal(password), where=where.format(user=literal(user)))
    psql = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=on"]
    said = within(container, *psql, "--username", database, "--dbname", database, given=script)
    if "changed" not in said:
        raise wiring.Trouble(f"there is no user {user}")


@contextlib.contextmanager
def stopped():
    """The service's containers are gone meanwhile, and come back whatever happens."""
    unit = os.environ["UNIT"]
    subprocess.run(["systemctl", "stop", unit], check=True)
    try:
        yield
    finally:
        if subprocess.run(["systemctl", "start", unit], check=False).returncode:
            print(f"it does not start again; see: journalctl --unit {unit}", file=sys.stderr)
