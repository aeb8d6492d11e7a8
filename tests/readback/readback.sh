#!/bin/sh
# Has every rendered file read by the program that will read it, in the root filesystem that it will lie on.
#
# readback.sh ROOT RENDERED
#
# ROOT is a box's base layer, or a chroot with the same packages; it is not changed. RENDERED is what `boxwright render` wrote.
# One line a check; what cannot be checked is skipped with its reason. Exit status 1 if a check failed.
set -u

if [ "${READBACK:-}" != inside ]; then
	root=$(realpath "$1") rendered=$(realpath "$2")
	export root rendered
	READBACK=inside exec unshare --mount --net --pid --fork --uts -- sh "$0"
fi

work=$(mktemp -d)
trap 'umount -R -l "$work"; rmdir "$work"' EXIT
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$rendered:$root,upperdir=$work/upper,workdir=$work/work" "$work/root"
mount -t proc proc "$work/root/proc"
mount -t sysfs -o ro sysfs "$work/root/sys"
mount -t tmpfs tmpfs "$work/root/run"
mount --rbind /dev "$work/root/dev"
mount --make-rslave "$work/root/dev"
hostname readback
# What the box itself makes before it is asked for, and modes that a rendered folder cannot have.
mkdir -p "$work/root/var/lib/boxwright/bin"
install -m 0755 /dev/null "$work/root/var/lib/boxwright/bin/cloudflared"
chmod 0440 "$work/root/etc/sudoers.d/boxwright"

failed=0 passed=0 skipped=0

inside() {
	LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$work/root" "$@"
}

# check WHAT COMMAND…: the command succeeds.
check() {
	what=$1
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		echo "ok   $what"
	else
		failed=$((failed + 1))
		{
			echo "FAIL $what"
			echo "$output" | tail -20 | sed 's/^/     /'
		} >&2
	fi
}

# silent WHAT COMMAND…: the command succeeds and says nothing.
silent() {
	what=$1
	shift
	check "$what" sh -c '
		output=$("$@" 2>&1); status=$?
		[ "$status" = 0 ] && [ -z "$output" ] && exit 0
		echo "$output"; exit 1' sh "$@"
}

skip() {
	skipped=$((skipped + 1))
	echo "skip $1: $2"
}

has() {
	inside sh -c "command -v $1" >/dev/null 2>&1
}

rendered_files() {
	(cd "$rendered" && find . -type f "$@" | sort | sed 's|^\.||')
}

export work
enter() {
	echo "env LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot $work/root"
}
enter=$(enter)

# systemd: every unit, with what other packages have to say to them.
for unit in $(rendered_files -path './usr/lib/systemd/system/*' | grep -v '\.d/' | sed 's|.*/||'); do
	case $unit in
	*@.*) name=$(echo "$unit" | sed 's/@\./@x./') ;;
	*) name=$unit ;;
	esac
	# shellcheck disable=SC2086
	silent "systemd-analyze verify $unit" $enter systemd-analyze verify --man=no --recursive-errors=no "$name"
done
for dropin in $(rendered_files -path './usr/lib/systemd/system/*.d/*.conf' | sed 's|.*/\(.*\)\.d/.*|\1|' | sort -u); do
	if [ -e "$work/root/usr/lib/systemd/system/$dropin" ]; then
		# shellcheck disable=SC2086
		silent "systemd-analyze verify $dropin with its drop-in" $enter systemd-analyze verify --man=no --recursive-errors=no "$dropin"
	else
		skip "drop-in of $dropin" "the root has no such unit"
	fi
done
for link in $(cd "$rendered" && find etc/systemd/system -type l); do
	target=$(readlink "$rendered/$link")
	case $target in
	/dev/null) continue ;;
	esac
	check "$link leads to a unit" test -e "$work/root$target"
done
before=$(cd "$work/root/etc/systemd/system" && find . -type l -printf '%p %l\n' | sort)
units=$(sed -n 's/^\(enable\|disable\) //p' "$rendered/usr/lib/systemd/system-preset/00-boxwright.preset")
for unit in $units; do
	# A masked unit cannot be preset, and one that no package here has is of no interest.
	if [ -e "$work/root/usr/lib/systemd/system/$unit" ] && [ ! -L "$work/root/etc/systemd/system/$unit" ]; then
		inside systemctl preset --quiet "$unit" >/dev/null 2>&1
	fi
done
after=$(cd "$work/root/etc/systemd/system" && find . -type l -printf '%p %l\n' | sort)
check "systemctl preset changes nothing" sh -c 'echo "$1" >/tmp/readback.a; echo "$2" | diff /tmp/readback.a -' sh "$before" "$after"

# Settings of systemd's daemons: their own parsers complain on standard error.
for daemon in journald resolved timesyncd; do
	conf=$(cat "$rendered"/usr/lib/systemd/"$daemon".conf.d/*.conf 2>/dev/null | sed -n 's/^\([A-Za-z]*\)=.*/\1/p' | sort -u)
	for key in $conf; do
		# Every key is one that the distribution's own commented file lists.
		check "$daemon.conf knows $key" grep -qE "^#?$key=" "$work/root/etc/systemd/$daemon.conf" "$work/root/usr/lib/systemd/$daemon.conf"
	done
done
if [ -x "$work/root/usr/lib/systemd/systemd-networkd" ]; then
	mkdir -p "$work/root/run/systemd/netif"
	inside chown systemd-network: /run/systemd/netif
	[ -e "$work/root/sys/fs/cgroup/cgroup.procs" ] || mount -t cgroup2 cgroup2 "$work/root/sys/fs/cgroup"
	output=$(inside timeout 5 sh -c 'SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=debug /usr/lib/systemd/systemd-networkd' 2>&1)
	check "systemd-networkd read its files" sh -c 'echo "$1" | grep -q "80-boxwright-ethernet.network: Successfully loaded"' sh "$output"
	check "systemd-networkd has no complaint" sh -c '! echo "$1" | grep -E "boxwright.*(Unknown|Failed|Invalid|ignoring)"' sh "$output"
else
	skip networkd "the root has no systemd-networkd"
fi
if ! has udevadm; then
	skip "udev rules" "the root has no udevadm"
elif [ -n "$(rendered_files -path './etc/udev/rules.d/*')" ]; then
	# shellcheck disable=SC2046
	check "udevadm verify" inside udevadm verify --no-style $(rendered_files -path './etc/udev/rules.d/*')
fi
check "sysctl knows every key" sh -c "sed -n 's/ *=.*//p' '$rendered'/usr/lib/sysctl.d/60-boxwright.conf | grep -v '^#' | tr . / | while read -r key; do test -e '$work'/root/proc/sys/\$key || { echo \$key; exit 1; }; done"

# Firewall: loaded by ufw itself, in a network of its own.
for tables in iptables:before.rules iptables:after.rules iptables:user.rules ip6tables:before6.rules ip6tables:after6.rules ip6tables:user6.rules; do
	check "${tables%%:*}-restore reads ${tables#*:}" inside sh -c "${tables%%:*}-restore --noflush --test </etc/ufw/${tables#*:}"
done
check "ufw loads its rules" inside /usr/lib/ufw/ufw-init start
check "ufw status is active" inside sh -c 'ufw status verbose | grep -q "deny (incoming), allow (outgoing)"'
check "ufw can add a rule and keeps ours" inside sh -c 'ufw --dry-run allow 9 >/dev/null'

# SSH and admins.
check "the admins are made" inside /usr/lib/boxwright/users
for name in $(cat "$rendered/etc/boxwright/admins" 2>/dev/null); do
	check "$name has sudo" inside sh -c "id -nG $name | grep -qw sudo && sudo -n -l -U $name | grep -q NOPASSWD"
	check "$name owns the home" inside sh -c "[ \"\$(stat -c %U /home/$name)\" = $name ]"
	check "$name's keys are keys" inside sh -c "ssh-keygen -l -f /etc/boxwright/authorized_keys/$name"
done
check "making them again changes nothing" inside sh -c 'sha256sum /etc/passwd >/run/a; /usr/lib/boxwright/users; sha256sum -c /run/a'
check "the host keys are made" inside /usr/lib/boxwright/ssh-keys
check "sshd -t" inside sshd -t
for setting in "passwordauthentication no" "kbdinteractiveauthentication no" "permitrootlogin no" "authenticationmethods publickey"; do
	check "sshd: $setting" inside sh -c "sshd -T | grep -qx '$setting'"
done
check "visudo -c" inside visudo -c

# Disks. As its unit has it: without a disk to watch smartd ends with 0, with one it stays.
command=$(sed -n 's/^ExecStart=\(.*\) \$smartd_opts$/\1/p' "$rendered/usr/lib/systemd/system/smartmontools.service.d/50-boxwright.conf")
check "smartd" inside sh -c 'timeout 5 $1 >/dev/null; status=$?; [ -n "$1" ] && { [ $status = 0 ] || [ $status = 124 ]; }' sh "$command"
if [ -s "$rendered/etc/fstab" ]; then
	output=$(inside findmnt --verify --verbose --tab-file /etc/fstab 2>&1)
	check "findmnt --verify: no parse error" sh -c 'echo "$1" | grep -Eq "^(0 parse errors|Success)"' sh "$output"
	check "findmnt --verify: targets are there" sh -c '! echo "$1" | grep -E "target .*(not|unre)"' sh "$output"
fi

# Packages.
check "apt-config dump" inside apt-config dump
check "apt knows the sources" inside apt-get indextargets
check "only security updates are allowed" inside sh -c 'apt-config dump | grep "Unattended-Upgrade::\(Origins-Pattern\|Allowed-Origins\)::" | grep -v -i security && exit 1 || apt-config dump | grep -q "Unattended-Upgrade::Origins-Pattern::"'
check "unattended-upgrade --dry-run" inside unattended-upgrade --dry-run --debug
check "the kernel is on the blacklist" inside python3 -c '
import re, apt_pkg
apt_pkg.init_config()
black = apt_pkg.config.value_list("Unattended-Upgrade::Package-Blacklist")
wanted = ["linux-image-amd64", "docker.io", "docker-cli", "containerd", "runc", "intel-microcode", "initramfs-tools-core"]
free = [name for name in wanted if not any(re.match(one, name) for one in black)]
wrong = [name for name in ["openssh-server", "systemd", "linux-libc-dev", "libc6"] if any(re.match(one, name) for one in black)]
assert not free and not wrong, (free, wrong)'

# The UPS: NUT's programs with the box's own files, and its program that has the power cut at the very end. No UPS is here.
if [ ! -e "$rendered/etc/nut/ups.conf" ]; then
	skip NUT "the profile has no UPS"
elif ! has upsd; then
	skip NUT "the root has no nut-server"
else
	inside systemd-tmpfiles --create nut-server.conf nut-common-tmpfiles.conf
	check "ups prepare" inside /usr/lib/boxwright/ups prepare
	check "NUT's user reads them, and nobody else" inside sh -c '[ "$(stat -Lc %a:%U:%G /etc/nut/upsmon.conf /etc/nut/upsd.users | sort -u)" = 640:root:nut ]'
	check "a shutdown of another kind leaves the UPS alone" inside sh -c '/usr/lib/systemd/system-shutdown/nutshutdown 2>&1 | grep "Not in FSD"'
	check "upsmon sees that the UPS is to be switched off" inside sh -c 'printf upsmon-shutdown-file >/run/boxwright/killpower; upsmon -K'
	check "NUT asks the UPS for it" inside sh -c '/usr/lib/systemd/system-shutdown/nutshutdown 2>&1 | grep "Generic HID driver"'
	rm "$work/root/run/boxwright/killpower"
	check "upsd starts" inside sh -c 'ip link set lo up; upsd -F & sleep 1; upsc -l 127.0.0.1 2>&1 | grep -x ups; status=$?; kill $!; exit $status'
fi

# Docker.
if has dockerd; then
	check "dockerd --validate" inside dockerd --validate --restart=false --config-file /etc/docker/daemon.json
else
	skip daemon.json "the root has no dockerd"
fi

# Scripts.
for script in $(rendered_files -perm -u=x); do
	case $(head -n 1 "$rendered$script") in
	'#!/bin/sh'*)
		if has shellcheck; then
			check "shellcheck $script" inside shellcheck --shell=sh --exclude=SC1091 "$script"
		else
			check "sh -n $script (no shellcheck in the root)" inside sh -n "$script"
		fi
		;;
	*python3*) check "python compiles $script" inside python3 -c "compile(open('$script').read(), '$script', 'exec')" ;;
	esac
done
check "box status" inside box status
check "box status --json" inside sh -c 'box status --json | python3 -m json.tool'

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
