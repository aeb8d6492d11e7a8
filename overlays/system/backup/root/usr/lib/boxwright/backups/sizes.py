"""What a backup has to hold, before one is written: the declared data of each service as it lies there now."""

import fnmatch
import os

from backups.config import OWN, STATE, kept_services
from backups.run import OWN_PATHS


def show():
    """A line a service, and what cannot be known before."""
    total, dumps = 0, []
    rows = [(OWN, sum(measured(path, str(path), []) for path in OWN_PATHS.values()))]
    for name, service in kept_services().items():
        backup, top = service["backup"], STATE / name
        rows.append((name, sum(measured(top / path, str(top), backup["exclude"]) for path in backup["paths"])))
        dumps += [f"{dump['file']} of {name}" for dump in backup["dumps"]]
    for name, size in rows:
        total += size
        print(f"{name:<20}  {size / 1e6:>12.1f} MB")
    print(f"{'together':<20}  {total / 1e6:>12.1f} MB")
    print("A repository holds less, since it compresses, and keeps what is the same only once; every further backup adds what changed.")
    if dumps:
        print(f"Not counted, since it is made while the backup runs: {', '.join(dumps)}")


def measured(path, top, exclude):
    """Bytes in files at `path`, without what is excluded and without following links."""
    if not os.path.isdir(path):
        return os.lstat(path).st_size if os.path.isfile(path) and not os.path.islink(path) else 0
    size = 0
    for folder, inner, files in os.walk(path):
        def kept(name, folder=folder):
            below = os.path.relpath(os.path.join(folder, name), top)
            return not any(fnmatch.fnmatch(below, pattern.strip("/")) for pattern in exclude)

        inner[:] = [name for name in inner if kept(name)]
        for name in filter(kept, files):
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return size
