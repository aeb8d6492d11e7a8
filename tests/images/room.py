#!/usr/bin/env python3
"""The box's `images` while the partition of Docker's store fills: a Docker of this test in place of a real one, and a partition
whose size this test says.

room.py IMAGES    IMAGES is the program
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import types
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

sys.dont_write_bytecode = True
PROGRAM = pathlib.Path(sys.argv[1])
THERE, EMBEDDED, PULLED = (f"docker.io/test/{name}:1" for name in ("there", "embedded", "pulled"))


class Docker:
    """Knows an image once it was loaded or pulled."""

    def __init__(self, _):
        self.known, self.asked = {THERE}, []

    def image_id(self, name):
        return f"id of {name}" if name in self.known else None

    def load(self, stream):
        self.asked.append("load")
        self.known.add(EMBEDDED)

    def pull(self, repository, version):
        self.asked.append("pull")
        self.known.add(f"{repository}:{version}")

    def tag(self, name, reference):
        self.known.add(reference)

    def call(self, method, url, value=None):
        self.asked.append(f"{method} {url}")
        self.known -= {EMBEDDED}


class Room(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        loader = SourceFileLoader("images", str(PROGRAM))
        self.images = module_from_spec(spec_from_loader("images", loader))
        loader.exec_module(self.images)
        self.images.Docker, self.images.systemctl = Docker, lambda *_: None
        entry = {"digest": None, "config": None, "services": ["one"], "programs": []}
        listing = {"layer": str(self.folder), "mirror": None, "images": [{**entry, "reference": name} for name in (THERE, EMBEDDED, PULLED)]}
        (self.folder / "list").write_text(json.dumps(listing))
        self.options = argparse.Namespace(
            list=str(self.folder / "list"), run=str(self.folder / "run"), state=str(self.folder / "state"),
            store="/the/store", socket="none",
        )
        patch = mock.patch.object(os, "statvfs", self.statvfs)
        patch.start()
        self.addCleanup(patch.stop)

    def statvfs(self, path):
        self.assertEqual(path, "/the/store")
        return types.SimpleNamespace(f_blocks=1000, f_bavail=1000 - self.used)

    def attempt(self, used):
        """One attempt for every image. What is missing afterwards, and what Docker was asked."""
        self.used = used
        loader = self.images.Loader(self.options)
        loader.layer.manifests, loader.layer.stream = {EMBEDDED: "digest"}, lambda _: iter(())
        for image in loader.images:
            loader.attempt(image)
        problem = self.folder / "run/problems/images"
        return loader, problem.read_text() if problem.exists() else ""

    def test_nothing_is_fetched_while_there_is_no_room(self):
        loader, problem = self.attempt(951)
        self.assertEqual([image["state"] for image in loader.images], ["present", "failed", "failed"])
        self.assertEqual(loader.docker.asked, [])
        self.assertIn("embedded:1, pulled:1 (/the/store is 95% full: no image is fetched until there is room", problem)
        # What was refused was not interrupted: it is not fetched twice afterwards.
        loader, problem = self.attempt(949)
        self.assertEqual([image["state"] for image in loader.images], ["present"] * 3)
        self.assertEqual(loader.docker.asked, ["load", "pull"])
        self.assertEqual(problem, "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
