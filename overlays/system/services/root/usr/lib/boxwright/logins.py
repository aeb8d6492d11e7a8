"""What the programs share that change a service's logins."""

import contextlib
import os
import subprocess
import sys


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
