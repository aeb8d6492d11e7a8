"""Which changes of addresses and routes make the firewall look again, in the words of iproute2's `ip monitor`."""

import pathlib
import sys
import types

sys.dont_write_bytecode = True
program = types.ModuleType("onlink")
# On a box it lies beside the program.
sys.path.append(str(pathlib.Path(sys.argv[1]).parents[5] / "secrets/root/usr/lib/boxwright"))
exec(pathlib.Path(sys.argv[1]).read_text().removesuffix("\nmain()\n"), program.__dict__)

TABLE = {
    "2: enp1s0    inet 192.168.1.5/24 brd 192.168.1.255 scope global dynamic enp1s0\n       valid_lft 86000sec\n": True,
    "Deleted 2: enp1s0    inet6 2001:db8::5/64 scope global dynamic\n": True,
    "Deleted default via 192.168.1.1 dev enp1s0 proto dhcp\n": True,
    "2001:db8::/64 dev enp1s0 proto ra metric 1024\n": True,
    "7: veth12@if6    inet6 fe80::1/64 scope link\n       valid_lft forever preferred_lft forever\n": False,
    "Deleted 7: veth12    inet6 fe80::1/64 scope link\n": False,
    "fe80::/64 dev veth12 proto kernel metric 256 pref medium\n": False,
    "local 172.18.0.1 dev bw-amp table local proto kernel scope host src 172.18.0.1\n": False,
    "multicast ff00::/8 dev veth12 table local\n2: enp1s0    inet 10.0.0.2/8\n": True,
    "what nobody has seen yet\n": True,
    "": False,
}
for told, wanted in TABLE.items():
    assert program.concerns(told) is wanted, told
