#!/usr/bin/env python3
"""Runs Debian 13's own NUT on what a profile with a UPS renders to, and the box's `ups` in front of it.

nut.py RENDERED PACKAGE…    RENDERED is what `boxwright render` wrote; each PACKAGE the folder that one was unpacked to

upsd, upsmon and upsdrvctl are NUT's, and read the rendered files. Others than on a box are: the driver, which is NUT's
dummy-ups (it plays a UPS from a file) where the profile has usbhid-ups; the port, which is a free one; what is called to shut
down, which writes that down; and paths below /run, which lie in a folder of this test.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

sys.dont_write_bytecode = True
RENDERED, PACKAGES = pathlib.Path(sys.argv[1]), [pathlib.Path(one) for one in sys.argv[2:]]
# Seconds until something that happens at once counts as not happening.
LONG = 40


def load(name):
    sys.path.insert(0, str(RENDERED / "usr/lib/boxwright"))
    loader = SourceFileLoader(name.removesuffix(".py"), str(RENDERED / "usr/lib/boxwright" / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find(name):
    return next(str(package / name) for package in PACKAGES if (package / name).exists())


class Box:
    """The part of a box that is about its UPS, in a folder."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nut-"))
        self.port = free_port()
        self.programs = []
        for name in ("nut", "run/nut", "run/boxwright/problems", "templates", "bin"):
            (self.folder / name).mkdir(parents=True)
        self.libraries = ":".join(str(package / "usr/lib/x86_64-linux-gnu") for package in PACKAGES)
        self.environment = {
            "NUT_CONFPATH": str(self.folder / "nut"), "NUT_STATEPATH": str(self.folder / "run/nut"),
            "NUT_ALTPIDPATH": str(self.folder / "run/nut"), "NUT_PIDPATH": str(self.folder / "run/nut"),
            "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
        }
        self.ups, self.status = load("ups"), load("status.py")
        self.ups.ADDRESS = ("127.0.0.1", self.port)
        self.ups.RUN, self.ups.TEMPLATES = self.folder / "run/boxwright", self.folder / "templates"
        self.status.RUN = self.ups.RUN
        self.ups.ALERTS = self.folder / "alerts.json"
        self.ups.ALERTS.touch()
        # As the package's tmpfiles.d makes it.
        (self.folder / "run/nut").chmod(0o770)
        self.files()

    def files(self):
        """The rendered files, but for what the docstring above says."""
        places = [("usr/lib/boxwright/ups-news", self.script("ups-news", "usr/lib/boxwright/ups-news"))]
        places += [("usr/bin/systemctl poweroff", self.folder / "bin/systemctl poweroff")]
        self.put("bin/systemctl", f"#!/bin/sh\necho \"$*\" >>{self.folder}/systemctl.log\n", 0o755)
        for file in sorted((RENDERED / "etc/boxwright/ups").iterdir()):
            text = file.read_text()
            for name, place in places:
                text = text.replace(f"/{name}", str(place))
            self.put(f"templates/{file.name}", self.moved(text))
        for name in ("nut.conf", "ups.conf"):
            text = (RENDERED / "etc/nut" / name).read_text()
            text, changed = re.subn(r"driver = usbhid-ups\n\tport = auto", f"driver = dummy-ups\n\tport = {self.folder}/nut/ups.dev", text)
            assert changed == (name == "ups.conf"), text
            # These two belong to the other driver.
            self.put(f"nut/{name}", re.sub(r"\t(off|on)delay = .*\n", "", text))
        for name in ("upsd.conf", "upsd.users", "upsmon.conf"):
            link = os.readlink(RENDERED / "etc/nut" / name)
            (self.folder / "nut" / name).symlink_to(str(self.folder) + link)

    def moved(self, text):
        user = subprocess.run(["id", "-un"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        text = text.replace("/run/", f"{self.folder}/run/").replace("RUN_AS_USER nut", f"RUN_AS_USER {user}")
        return text.replace(" 3493", f" {self.port}").replace("@127.0.0.1", f"@127.0.0.1:{self.port}")

    def script(self, name, rendered):
        self.put(f"bin/{name}", self.moved((RENDERED / rendered).read_text()), 0o755)
        return self.folder / "bin" / name

    def put(self, name, text, mode=0o644):
        path = self.folder / name
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        new.chmod(mode)
        new.rename(path)

    def command(self, program, *words):
        """A program of Debian 13's, with its own loader and libraries."""
        loader = find("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
        return [loader, "--library-path", self.libraries, find(program), *words]

    def start(self, program, *words):
        # NUT becomes this user where it may become another: there is no `nut` here.
        words = [*words, *([] if program.endswith("upsmon") else ["-u", "root"])]
        with (self.folder / f"{pathlib.Path(program).name}.log").open("ab") as log:
            options = {"env": self.environment, "stdout": log, "stderr": log, "start_new_session": True}
            running = subprocess.Popen(self.command(program, *words), **options)
        self.programs.append(running)

    def call(self, program, *words):
        return subprocess.run(self.command(program, *words), env=self.environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def says(self, status, **more):
        """What the UPS says of itself from now on."""
        values = {"ups.status": status, "battery.charge": "100", "battery.runtime": "1740", **more}
        self.put("nut/ups.dev", "".join(f"{name}: {value}\n" for name, value in values.items()))

    def problems(self):
        folder = self.folder / "run/boxwright/problems"
        return {path.name: path.read_text().strip() for path in folder.iterdir()}

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, what, reached):
        """Looks until something is so."""
        end = time.monotonic() + LONG
        while not reached():
            if time.monotonic() > end:
                logs = "\n".join(f"{name}: {self.log(name)[-2000:]}" for name in ("dummy-ups", "upsd", "upsmon", "systemctl"))
                raise AssertionError(f"{what} is not reached: {self.problems()}\n{logs}")
            time.sleep(0.2)

    def look(self):
        self.ups.look()
        return json.loads((self.folder / "run/boxwright/ups.json").read_text())

    def close(self):
        for running in reversed(self.programs):
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
        shutil.rmtree(self.folder)


class Nut(unittest.TestCase):
    def setUp(self):
        self.box = Box()
        self.addCleanup(self.box.close)
        os.environ["PATH"] = self.box.environment["PATH"]

    def run_nut(self, status="OL"):
        box = self.box
        box.ups.prepare(group=os.getgid())
        box.says(status)
        box.start("usr/lib/nut/dummy-ups", "-a", "ups", "-F")
        box.start("usr/lib/nut/upsd", "-F")
        box.wait("the first answer of the UPS", lambda: box.look()["power"] is not None)
        box.start("usr/lib/nut/upsmon", "-F")
        box.wait("upsmon's login", lambda: "NUMLOGINS ups 1" in self.asked("GET NUMLOGINS ups"))

    def asked(self, line):
        with socket.create_connection(self.box.ups.ADDRESS, timeout=5) as connection, connection.makefile("rw") as talk:
            talk.write(line + "\n")
            talk.flush()
            return talk.readline().strip()

    def test_a_power_cut_from_its_beginning_to_its_end(self):
        box = self.box
        self.run_nut()
        one = box.look()
        self.assertEqual([one["power"], one["charge"], one["runtime"]], ["mains", 100, 1740])
        self.assertEqual(one["model"], "Dummy UPS")
        self.assertEqual(box.status.ups_line(box.status.power()), "UPS: on mains, charged to 100 %, enough for 29 min")
        # What is shown when it is news has none of the figures that are others each time.
        self.assertEqual(box.status.ups_line(box.status.steady({"ups": box.status.power()})["ups"]), "UPS: on mains")
        self.assertEqual(box.problems(), {})
        news = box.folder / "run/nut/news"
        news.unlink(missing_ok=True)
        box.says("OB DISCHRG", **{"battery.charge": "71", "battery.runtime": "900"})
        box.wait("news of the power cut", news.exists)
        one = box.look()
        self.assertEqual([one["power"], one["charge"], one["runtime"]], ["battery", 71, 900])
        self.assertEqual(box.problems(), {"ups-power": box.ups.OUT})
        # Alerts are made of what is seen twice: they are started once more, and not each time.
        self.assertEqual(box.log("systemctl"), "--no-block start boxwright-alerts.service\n")
        box.ups.FLICKER = 0
        box.look()
        box.look()
        self.assertEqual(box.log("systemctl"), "--no-block start boxwright-alerts.service\n" * 2)
        news.unlink()
        box.says("OL CHRG RB OVER", **{"battery.charge": "72"})
        box.wait("news of the mains", news.exists)
        box.look()
        self.assertEqual(sorted(box.problems()), ["ups-over", "ups-rb"])
        box.says("OL CHRG")
        box.wait("the end of it", lambda: box.look()["words"] == ["OL", "CHRG"])
        self.assertEqual(box.problems(), {})
        self.assertNotIn("poweroff", box.log("systemctl"))

    def test_a_low_battery_shuts_down_and_has_the_power_cut(self):
        box = self.box
        self.run_nut()
        flag = box.folder / "run/boxwright/killpower"
        self.assertNotEqual(box.call("usr/lib/nut/upsmon", "-K").returncode, 0)
        # Low alone is none: the mains are there.
        box.says("OL LB CHRG")
        box.wait("a battery that is low", lambda: box.look()["words"][:2] == ["OL", "LB"])
        self.assertEqual(box.problems(), {})
        box.says("OB LB DISCHRG", **{"battery.charge": "8"})
        box.wait("the shutdown", lambda: "poweroff" in box.log("systemctl"))
        self.assertEqual(box.log("systemctl").splitlines()[-1], "poweroff")
        box.look()
        self.assertEqual(box.problems(), {"ups-power": box.ups.LOW})
        # What NUT's script asks at the very end.
        self.assertTrue(flag.exists())
        self.assertEqual(box.call("usr/lib/nut/upsmon", "-K").returncode, 0)

    def test_a_ups_on_battery_that_is_lost_is_a_low_battery(self):
        box = self.box
        self.run_nut("OB DISCHRG")
        driver = box.programs[0]
        os.killpg(driver.pid, signal.SIGTERM)
        driver.wait(LONG)
        box.wait("the shutdown", lambda: "poweroff" in box.log("systemctl"))

    def test_silence_is_told_once_it_lasts(self):
        box = self.box
        box.ups.prepare(group=os.getgid())
        self.assertIsNone(box.look()["power"])
        box.says("OL")
        box.start("usr/lib/nut/upsd", "-F")
        box.wait("upsd", lambda: "DRIVER-NOT-CONNECTED" in (box.look().get("why") or ""))
        self.assertEqual(box.problems(), {})
        box.ups.PATIENCE = 0
        box.look()
        self.assertEqual(box.problems(), {"ups": box.ups.SILENT})
        box.start("usr/lib/nut/dummy-ups", "-a", "ups", "-F")
        box.wait("an answer", lambda: box.look()["power"] == "mains")
        self.assertEqual(box.problems(), {})

    def test_nut_takes_its_files_as_they_are(self):
        box = self.box
        self.run_nut()
        for name in ("upsd", "upsmon", "dummy-ups"):
            # A key that it does not know, a mode that it does not like.
            for word in ("invalid", "unrecognized", "unknown", "world readable", "denied"):
                self.assertNotIn(word, box.log(name).lower(), name)
        for name in ("upsd.conf", "upsd.users", "upsmon.conf"):
            path = box.folder / "run/boxwright/ups" / name
            self.assertEqual(path.stat().st_mode & 0o7777, 0o640)
            self.assertNotIn("@PASSWORD@", path.read_text())
        before = (box.folder / "run/boxwright/ups/upsmon.conf").read_text()
        box.ups.prepare(group=os.getgid())
        self.assertEqual((box.folder / "run/boxwright/ups/upsmon.conf").read_text(), before)
        # Nobody without the password shuts the box down.
        self.assertIn("ERR", self.asked("FSD ups"))

    def test_the_driver_of_the_box_knows_what_its_section_says(self):
        box = self.box
        text = (RENDERED / "etc/nut/ups.conf").read_text()
        box.put("nut/ups.conf", text)
        said = box.call("usr/lib/nut/usbhid-ups", "-a", "ups", "-DD", "-u", "root").stdout
        # There is no UPS here: that it looked for one means that it took every line.
        self.assertRegex(said, "No matching HID UPS found|libusb", said)
        for word in ("is not a valid", "Fatal error", "unrecognized", "Unrecognized"):
            self.assertNotIn(word, said)
        box.put("nut/ups.conf", text + "\tnonsense = 1\n")
        self.assertIn("nonsense", box.call("usr/lib/nut/usbhid-ups", "-a", "ups", "-u", "root").stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
