#!/bin/sh
# Runs the box's programs on the rendered tree $1, in namespaces of its own, with stand-ins for docker and systemctl from $2.
# Prints one line for each thing that holds; stops at the first that does not.
set -eu
tree=$1 stand_ins=$2

mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /srv
mkdir -p /srv/state /srv/media /run/bin
mount -t tmpfs tmpfs /srv/state
mkdir -p /run/etc
cp -a /etc/passwd /etc/group /run/etc/
cp -a "$tree/etc/boxwright" /run/etc/boxwright
mount --bind /run/etc /etc
cp "$stand_ins/docker" "$stand_ins/systemctl" /run/bin/
# The programs look in /usr/bin; a folder cannot be put in front of that, so the stand-ins are put over what is there.
mkdir -p /run/usr
mount -t tmpfs tmpfs /run/usr
for program in /usr/bin/*; do
	[ -e "$program" ] && ln -s "/run/real/${program##*/}" "/run/usr/${program##*/}"
done
mkdir -p /run/real
mount --bind /usr/bin /run/real
rm -f /run/usr/docker /run/usr/systemctl
cp /run/bin/* /run/usr/
mount --bind /run/usr /usr/bin
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# The overlay of the boot has what asks systemd, that of the disks what is mounted, that of the secrets what says what is held back,
# that of the status what is known of backups.
overlays=$stand_ins/../../overlays
cp "$overlays/system/boot/root/usr/lib/boxwright/units.py" "$tree/usr/lib/boxwright/"
cp "$overlays/system/disks/root/usr/lib/boxwright/places.py" "$tree/usr/lib/boxwright/"
cp "$overlays/system/secrets/root/usr/lib/boxwright/handover.py" "$tree/usr/lib/boxwright/"
cp "$overlays/system/status/root/usr/lib/boxwright/status.py" "$tree/usr/lib/boxwright/"
echo '{"backup": null}' >/etc/boxwright/box.json
service=$tree/usr/lib/boxwright/service
# The stand-in for systemctl runs it.
export service
networks=$tree/usr/lib/boxwright/networks

holds() {
	echo "ok $1"
}

# The pattern $1 is nowhere in standard input.
lacks() {
	if grep -e "$1"; then exit 1; fi
}

calls() {
	python3 -c 'import json; print(*json.load(open("/run/docker-stand-in.json"))["calls"], sep="\n")' >/run/calls
	cat /run/calls
}

python3 "$networks"
made=$(calls | grep -c '^network create')
python3 "$networks"
[ "$(calls | grep -c '^network create')" = "$made" ]
holds "networks that fit are left alone"

python3 - <<'END'
import json
path = "/run/docker-stand-in.json"
state = json.load(open(path))
name = sorted(state["networks"])[0]
state["networks"][name]["Internal"] = not state["networks"][name]["Internal"]
state["networks"]["bw-former"] = dict(state["networks"][name], Name="bw-former")
state["networks"]["mine"] = dict(state["networks"][name], Name="mine")
state["containers"]["left-over"] = {"Name": "/left-over"}
json.dump(state, open(path, "w"))
END
python3 "$networks"
calls | tail -n 20 | grep -q '^network rm bw-former'
calls | grep '^rm --force left-over'
calls | lacks 'network rm mine'
[ "$(calls | grep -c '^network create')" = $((made + 1)) ]
holds "what differs is made again, what is not of this release goes, what is the owner's stays"

if python3 "$service" start sonarr 2>/run/said; then exit 1; fi
grep -q 'the disk .media. is not mounted at /srv/media' /run/said
[ ! -e /srv/state/sonarr ]
grep -q 'the disk .media. is not mounted' /run/boxwright/services/sonarr.start-failed
holds "a missing disk stops its services before anything is written"

mount -t tmpfs -o mode=0755 tmpfs /srv/media
# Every secret, but for those that may be missing.
python3 - <<'END'
import json, pathlib
for service in json.load(open("/etc/boxwright/services.json")):
    optional = {secret["name"] for secret in service["secrets"] if secret["optional"]}
    for file in service["secret_files"]:
        if file["name"] not in optional:
            path = pathlib.Path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0123456789abcdef0123456789abcdef")
    for secret in service["secrets"]:
        path = pathlib.Path(secret["path"])
        if not secret["optional"] and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0123456789abcdef0123456789abcdef")
END
python3 "$service" start gluetun
python3 "$service" start sonarr 2>/run/said
[ ! -e /run/boxwright/services/sonarr.start-failed ]
grep -q '<ApiKey>0123456789abcdef0123456789abcdef</ApiKey>' /srv/state/sonarr/config/config.xml
grep -q '<AuthenticationMethod>Forms<' /srv/state/sonarr/config/config.xml
[ "$(stat -c %a:%u:%g /srv/state/sonarr/config)" = 700:1003:1004 ]
[ "$(stat -c %a:%u:%g /srv/state/sonarr/config/config.xml)" = 600:1003:1004 ]
holds "folders and seeds belong to who uses them"

grep -q 'sonarr runs as 1003:1004 and cannot write to /srv/media' /run/said
holds "a disk that cannot be written to is said"
chmod 1777 /srv/media

python3 "$service" start qbittorrent
conf=/srv/state/qbittorrent/config/qBittorrent/qBittorrent.conf
grep -q 'WebUI\\Password_PBKDF2="@ByteArray(.*:.*)"' "$conf"
before=$(cat "$conf")
python3 "$service" start qbittorrent
[ "$(cat "$conf")" = "$before" ]
holds "a password is seeded once"

grep -q '^WebUI.ServerDomains="torrents.example.com;qbittorrent;' "$conf"
sed -i 's/^WebUI.ServerDomains=.*/WebUI\\ServerDomains="former.example.com;localhost"/' "$conf"
python3 "$service" start qbittorrent
grep -q '^WebUI.ServerDomains="former.example.com;localhost;torrents.example.com;qbittorrent;127.0.0.1"$' "$conf"
[ "$(grep -v ServerDomains "$conf")" = "$(echo "$before" | grep -v ServerDomains)" ]
holds "a torrent client answers to a name that it got later, and to its owner's"

python3 "$service" start tautulli
ini=/srv/state/tautulli/config/config.ini
grep -q '^http_username = admin$' "$ini"
grep -q '^http_password = PBKDF2.sha256.600000.' "$ini"
grep -q '^api_key = 0123456789abcdef0123456789abcdef$' "$ini"
[ "$(stat -c %a:%u:%g "$ini")" = 600:1000:1000 ]
sed -i 's/^http_username.*/http_username = ann/; s/^http_password.*/http_password = "theirs"/; s/^api_key.*/api_key = other/' "$ini"
printf '[[get_file_sizes_hold]]\napi_key = no such thing\n' >>"$ini"
python3 "$service" start tautulli
grep -q '^http_username = ann$' "$ini"
grep -q '^http_password = "theirs"$' "$ini"
grep -q '^api_key = 0123456789abcdef0123456789abcdef$' "$ini"
grep -q '^api_key = no such thing$' "$ini"
sed -i 's/^http_password.*/http_password = ""/' "$ini"
python3 "$service" start tautulli
grep -q '^http_password = PBKDF2' "$ini"
holds "Tautulli never starts without an account, and its owner's stays"

# A container leaves links to what is not its own where the box will write.
python3 "$service" start seerr
python3 "$service" start jellyfin
for planted in seerr/config/settings.json sonarr/config/config.xml tautulli/config/config.ini jellyfin/config/config/network.xml \
	qbittorrent/config/qBittorrent/qBittorrent.conf; do
	echo untouched >/run/victim
	link=/srv/state/${planted%.*}.new
	rm -f "/srv/state/$planted" "$link"
	ln -s /run/victim "$link"
	# It either says that it cannot write there, or puts its own file in the link's place.
	python3 "$service" start "${planted%%/*}" 2>/run/said || [ -s /run/said ]
	[ "$(cat /run/victim)" = untouched ] && [ ! -L "/srv/state/$planted" ]
	rm -f "$link"
	python3 "$service" start "${planted%%/*}"
	[ -f "/srv/state/$planted" ]
done
mkdir -m 0755 /run/victims
rm -r /srv/state/gluetun/data/auth
ln -s /run/victims /srv/state/gluetun/data/auth
if python3 "$service" start gluetun 2>/run/said; then exit 1; fi
[ "$(stat -c %a /run/victims)" = 755 ] && [ -z "$(ls /run/victims)" ]
rm /srv/state/gluetun/data/auth
python3 "$service" start gluetun
grep -q '^apikey = "0123456789abcdef0123456789abcdef"$' /srv/state/gluetun/data/auth/config.toml
holds "no seed follows a link that a container has left"

# Immich has a folder of a disk all of which others can write. What Docker is given of it, and what is known of a folder.
given=/run/boxwright/folders/immich/immich-0
known() {
	stat -c %a:%u:%g:%i "$1"
}
python3 "$service" start immich
[ "$(stat -c %a:%u:%g /srv/media/immich)" = 700:1003:1004 ]
grep -q "source: \"$given\"" /etc/boxwright/services/immich/compose.yaml
lacks /srv/media </etc/boxwright/services/immich/compose.yaml
[ "$(known "$given")" = "$(known /srv/media/immich)" ]
[ "$(findmnt --noheadings --output PROPAGATION "$given")" = private ]
before=$(known /srv/media/immich)
victim=$(known /run/victims)
mv /srv/media/immich /srv/media/aside
ln -s /run/victims /srv/media/immich
[ "$(known "$given")" = "$before" ]
holds "what Docker is given of a shared disk stays the same folder"
for planted in /run/victims /nowhere; do
	ln -sfn "$planted" /srv/media/immich
	calls | grep -c 'compose.* up ' >/run/ups
	if python3 "$service" start immich 2>/run/said; then exit 1; fi
	grep -q '^it does not start: /srv/media/immich is a link' /run/said
	[ "$(calls | grep -c 'compose.* up ')" = "$(cat /run/ups)" ]
	[ "$(known /run/victims)" = "$victim" ] && [ ! -e /nowhere ] && [ -L /srv/media/immich ]
done
python3 "$service" watch
grep -q '^Immich: it does not start: /srv/media/immich is a link' /run/boxwright/problems/service-immich
holds "a link in the place of a folder of a shared disk is not followed, and said"
rm /srv/media/immich
mv /srv/media/aside /srv/media/immich
python3 "$service" start immich
[ "$(known "$given")" = "$before" ]
python3 "$service" release immich
[ ! -e "$given" ] && [ "$(known /srv/media/immich)" = "$before" ]
python3 "$service" release immich
grep -q '^ExecStopPost=.* release immich$' "$tree/usr/lib/systemd/system/boxwright-service-immich.service"
lacks ExecStopPost <"$tree/usr/lib/systemd/system/boxwright-service-sonarr.service"
holds "a service that is stopped keeps no disk busy"

[ -e /run/boxwright/secrets/gluetun/wireguard-preshared-key ]
holds "an optional secret that is missing is an empty file"

python3 "$service" start plex 2>/run/said
grep -q '^COMPOSE_FILE=compose.yaml' /run/boxwright/services/plex.env
[ -e /dev/dri/renderD128 ] || grep -q 'no graphics processor' /run/said
holds "a machine without a graphics processor still starts Plex"

for name in $(python3 -c 'import json; print(*[s["name"] for s in json.load(open("/etc/boxwright/services.json"))])'); do
	mkdir -p /run/boxwright/images && touch "/run/boxwright/images/$name"
	python3 "$service" start "$name"
done
python3 "$service" watch
python3 "$service" watch
grep -q 'its setup has not succeeded yet: sonarr does not run yet' /run/boxwright/problems/service-sonarr
holds "a setup that fails is said"
python3 -c 'import json; s = json.load(open("/run/boxwright/services.status")); assert s["ready"], s'
holds "with everything healthy the box is ready"

# Between two tries systemd calls it activating.
mkdir /run/units
seed=/etc/boxwright/services/sonarr/seed sonarr=/run/units/boxwright-service-sonarr.service said=/run/boxwright/problems/service-sonarr
cp -p "$seed" /run/seed
printf '#!/bin/sh\nexit 1\n' >"$seed"
if python3 "$service" start sonarr 2>/dev/null; then exit 1; fi
echo activating 2 >"$sonarr"
python3 "$service" watch
[ ! -e "$said" ]
echo activating 3 >"$sonarr"
python3 "$service" watch
grep -q '^Sonarr: it does not start: .*/sonarr/seed failed with status 1; see: box logs sonarr$' "$said"
cp -p /run/seed "$seed"
rm "$sonarr"
python3 "$service" start sonarr
python3 "$service" watch
lacks 'does not start' <"$said"
holds "a service that fails at each start is said, with what its last start said"

cat >/run/ill.py <<'END'
import json
import sys
path = "/run/docker-stand-in.json"
state = json.load(open(path))
state["ill"] = sys.argv[1:]
json.dump(state, open(path, "w"))
END
python3 /run/ill.py gluetun homepage
python3 "$service" start gluetun
if python3 "$service" start homepage 2>/dev/null; then exit 1; fi
python3 "$service" watch
grep -q 'Gluetun: .*its container gluetun is unhealthy' /run/boxwright/problems/service-gluetun
python3 /run/ill.py
python3 "$service" start homepage
inside=$(python3 -c 'import json; print(*[s["name"] for s in json.load(open("/etc/boxwright/services.json")) if s["requires"]])')
for name in gluetun $inside; do
	python3 "$service" start "$name" 2>/dev/null
done
python3 "$service" watch
[ ! -e /run/boxwright/problems/service-gluetun ]
holds "what lives behind the VPN starts without the internet, and nothing else that is not healthy"

grep -q "customConnections=\"http://every.local:32400,https://plex.example.com:443\"" "/srv/state/plex/config/Library/Application Support/Plex Media Server/Preferences.xml"
[ "$(stat -c %a:%u:%g "/srv/state/plex/config/Library/Application Support/Plex Media Server/Preferences.xml")" = 600:1003:1004 ]
holds "Plex is told of its host name before its first start"

grep -q KnownProxies /srv/state/jellyfin/config/config/network.xml
holds "Jellyfin knows the tunnel"

python3 - <<'END'
import json
path = "/run/docker-stand-in.json"
state = json.load(open(path))
state["containers"]["gluetun"]["State"]["StartedAt"] = "2026-11-21T01:00:00Z"
state["containers"]["uptime-kuma"]["State"]["Health"]["Status"] = "unhealthy"
json.dump(state, open(path, "w"))
END
python3 "$service" watch
lacks restart </run/systemctl.log
python3 "$service" watch
grep -q -- '--no-block restart boxwright-service-sonarr.service' /run/systemctl.log
lacks 'restart boxwright-service-gluetun' </run/systemctl.log
lacks 'restart boxwright-service-uptime-kuma' </run/systemctl.log
holds "what lost its namespace is restarted at once"
grep -q 'Uptime Kuma: .*its container uptime-kuma is unhealthy' /run/boxwright/problems/service-uptime-kuma
[ ! -e /run/boxwright/problems/service-homepage ]
holds "what is broken is said"
look=0
while [ "$look" -lt 10 ]; do
	python3 "$service" watch
	look=$((look + 1))
done
[ "$(grep -c 'restart boxwright-service-uptime-kuma' /run/systemctl.log)" = 1 ]
holds "what stays broken is restarted, with patience"
python3 "$service" status | grep -q '"ready": false'

# Docker has started uptime-kuma anew so many times, and is about to find out whether it is healthy.
crashed() {
	python3 - "$1" <<'END'
import json, sys
path = "/run/docker-stand-in.json"
state = json.load(open(path))
state["containers"]["uptime-kuma"]["RestartCount"] = int(sys.argv[1])
state["containers"]["uptime-kuma"]["State"]["Health"]["Status"] = "starting"
json.dump(state, open(path, "w"))
END
	python3 "$service" watch
}
for times in 1 2; do
	crashed "$times"
	[ ! -e /run/boxwright/problems/service-uptime-kuma ] || lacks 'is restarting' </run/boxwright/problems/service-uptime-kuma
done
crashed 3
grep -q 'Uptime Kuma: .*its container uptime-kuma is restarting' /run/boxwright/problems/service-uptime-kuma
holds "a container that crashes again and again is not one that starts"

# A disk of 10 MiB, filled to so many KiB.
mount -o remount,size=10m /srv/media
fill() {
	head -c "$1"k /dev/zero >/srv/media/filling
}
# What `watch` does about qBittorrent's room, alone.
tend() {
	python3 -B - "$tree/usr/lib/boxwright" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import units
from services import config, space
service = config.planned()["qbittorrent"]
space.tend(service, units.look([service["unit"]]))
END
}
paused=/run/boxwright/services/qbittorrent.paused
grep -q "ConditionPathExists=!$paused" "$tree/usr/lib/systemd/system/boxwright-service-qbittorrent.service"
lacks 'sonarr.paused' <"$tree/usr/lib/systemd/system/boxwright-service-sonarr.service"
fill 9400
tend
[ ! -e "$paused" ]
fill 9800
if python3 "$service" start qbittorrent 2>/run/said; then exit 1; fi
grep -q 'qBittorrent: it is paused' /run/said && rm "$paused"
python3 "$service" start sonarr
python3 "$service" watch
grep -q 'the disk media got 95% full' "$paused"
grep -q -- '--no-block stop boxwright-service-qbittorrent.service' /run/systemctl.log
grep -q 'qBittorrent: it is paused, since the disk media got 95% full' /run/boxwright/problems/service-qbittorrent
lacks 'stop boxwright-service-\(sonarr\|plex\|gluetun\)' </run/systemctl.log
holds "what downloads is stopped while its disk is nearly full, and nothing else is"
fill 9400
tend
[ -e "$paused" ]
lacks 'block start boxwright-service-qbittorrent' </run/systemctl.log
fill 9000
python3 "$service" watch
[ ! -e "$paused" ]
lacks 'it is paused' </run/boxwright/problems/service-qbittorrent
grep -q -- '--no-block start boxwright-service-qbittorrent.service' /run/systemctl.log
holds "and is started again when there is room"
mount -o remount,size=10m /srv/state
head -c 9900k /dev/zero >/srv/state/filling
tend
grep -q 'the state partition got 95% full' "$paused"
rm /srv/state/filling
tend
[ ! -e "$paused" ]
holds "a full state partition stops it as well"

# The container $1 can be asked on loopback.
at() {
	python3 - "$1" <<'END'
import json, sys
path = "/run/docker-stand-in.json"
state = json.load(open(path))
state["containers"][sys.argv[1]]["NetworkSettings"] = {"Networks": {"one": {"IPAddress": "127.0.0.1"}}}
json.dump(state, open(path, "w"))
END
}
at uptime-kuma
echo done >/run/boxwright/services/uptime-kuma.setup
report=/etc/boxwright/services/uptime-kuma/report
printf '#!/bin/sh\necho "$URLS" >/run/told\ncat "$STATUS" >>/run/told\necho "it does not listen" >&2\nexit 1\n' >"$report"
python3 "$service" report
grep -q '"uptime-kuma": "http://127.0.0.1:3001"' /run/told
grep -q '"jellyfin": "healthy"' /run/told
python3 "$service" watch
grep -q 'Uptime Kuma: .*its report failed: it does not listen' /run/boxwright/problems/service-uptime-kuma
printf '#!/bin/sh\n' >"$report"
python3 "$service" report
python3 "$service" watch
lacks 'its report failed' </run/boxwright/problems/service-uptime-kuma
holds "who wants to know how the others do is told, and what goes wrong with that is said"

# What is told of backups after a complete one so many hours ago and what was wrong with the last one.
backups() {
	printf '{"complete": %s, "wrong": %s}' "$(($(date +%s) - $1 * 3600))" "$2" >/srv/state/.backup/last.json
	python3 "$service" status | python3 -c 'import json, sys; print(json.load(sys.stdin)["backup"]["wrong"])'
}
lacks '"backup"' </run/boxwright/services.status
echo '{"backup": "03:00"}' >/etc/boxwright/box.json
mkdir -p /srv/state/.backup
[ "$(backups 49 '[]')" = None ]
[ "$(backups 1 '["boxes: its server does not answer", "vault: it is full"]')" = "boxes: its server does not answer" ]
backups 51 '[]' | grep -q '^the last complete backup is of 20'
echo "the last backup is not complete: the secret box/backup-password is missing" >/run/boxwright/problems/backup
backups 1 '[]' | grep -q '^the last backup is not complete: the secret'
rm /run/boxwright/problems/backup
echo '{"backup": null}' >/etc/boxwright/box.json
holds "who wants to know how the others do is told as well how the backups do"

at cloudflared
printf '#!/bin/sh\n[ "$ADDRESS" ] && echo "it serves something else" >&2\nexit 3\n' >/etc/boxwright/services/cloudflared/check
python3 "$service" watch
grep -q -- '--no-block stop boxwright-service-cloudflared.service' /run/systemctl.log
grep -q 'it serves something else' /run/boxwright/services/cloudflared.stopped
grep -q 'cloudflared: it serves something else' /run/boxwright/problems/service-cloudflared
grep -q 'ConditionPathExists=!/run/boxwright/services/cloudflared.stopped' "$tree/usr/lib/systemd/system/boxwright-service-cloudflared.service"
holds "what must not run any longer is stopped, and said"

# Seerr's hostname is for everyone, and nobody owns Seerr yet. Its `owned` and the tunnel's `check` end as they are told here.
rm -f /run/boxwright/services/cloudflared.stopped
for failed in /run/boxwright/services/*.setup-failed; do
	echo done >"${failed%-failed}"
done
services=/etc/boxwright/services marker=/srv/state/.owned/seerr tunnel=/srv/state/cloudflared/config/config.yml
# Where the tunnel leads for the host name $1.
leads() {
	grep -A1 "hostname: \"$1\"" "$tunnel" | sed -n 's/ *service: //p'
}
# Watches once while `owned` ends with $1 and the tunnel's `check` with $2.
looks() {
	echo "$1" >/run/owned && echo "$2" >/run/checked
	: >/run/systemctl.log
	python3 "$service" watch
}
at seerr
printf '#!/bin/sh\n[ "$URLS" ] && exit "$(cat /run/owned)"\n' >"$services/seerr/owned"
printf '#!/bin/sh\necho "other rules" >&2\nexit "$(cat /run/checked)"\n' >"$services/cloudflared/check"
python3 "$service" start cloudflared
at cloudflared
[ "$(leads requests.example.com)" = '"http_status:503"' ]
[ "$(leads plex.example.com)" = '"http://plex:32400"' ]
[ "$(stat -c %a:%u:%g "${tunnel%/*}" "$tunnel" | tr '\n' ' ')" = '755:0:0 644:0:0 ' ]
looks 3 0
grep -q '^Seerr: .*requests.example.com answers 503 until .*: box open seerr$' /run/boxwright/problems/service-seerr
[ ! -e "$marker" ]
[ ! -e /run/boxwright/problems/service-tautulli ]
holds "without an owner a host name answers 503, and that is said"
looks 1 0
[ ! -e "$marker" ]
looks 0 4
[ "$(stat -c %a:%u "$marker" "${marker%/*}" | tr '\n' ' ')" = '600:0 700:0 ' ]
[ ! -e /run/boxwright/problems/service-seerr ]
grep -q -- '--no-block restart boxwright-service-cloudflared.service' /run/systemctl.log
python3 "$service" start cloudflared
at cloudflared
[ "$(leads requests.example.com)" = '"http://seerr:5055"' ]
holds "with an owner the tunnel starts again, and leads there"
looks 1 0
[ -e "$marker" ]
looks 3 4
[ ! -e "$marker" ]
python3 "$service" start cloudflared
at cloudflared
[ "$(leads requests.example.com)" = '"http_status:503"' ]
looks 0 0
[ -e "$marker" ]
rm -rf /srv/state/seerr
python3 "$service" start seerr
at seerr
[ ! -e "$marker" ]
holds "what cannot be told changes nothing, and a lost owner shuts it again"
for _ in 1 2 3; do
	looks 3 4
	grep -q -- '--no-block restart boxwright-service-cloudflared.service' /run/systemctl.log
	lacks ' stop ' </run/systemctl.log
done
looks 3 4
grep -q -- '--no-block stop boxwright-service-cloudflared.service' /run/systemctl.log
grep -q '^other rules' /run/boxwright/services/cloudflared.stopped
looks 3 0
holds "a start that does not help is not asked for for ever"

cat >/etc/boxwright/box.json <<'END'
{
  "name": "every", "admins": ["admin"], "ssh": {"hostname": null},
  "services": [{"name": "seerr", "unit": "s"}, {"name": "sonarr", "unit": "t"}, {"name": "gluetun", "unit": "u"}],
  "ports": [{"service": "seerr", "port": 5055, "source": "lan"}]
}
END
cp "$overlays/system/status/root/usr/lib/boxwright/status.py" "$tree/usr/lib/boxwright/"
sed "s#/usr/lib/boxwright#$tree/usr/lib/boxwright#g" "$overlays/system/status/root/usr/bin/box" >/run/box
chmod +x "$service"
# The command of the box's owner.
box() {
	python3 /run/box "$@"
}
printf '#!/bin/sh\necho "$*" >>/run/journals\n' >/run/usr/journalctl
chmod +x /run/usr/journalctl
box logs
box logs sonarr
[ "$(cat /run/journals)" = "--follow --lines=100
--follow --lines=100 --unit boxwright-service-sonarr.service" ]
[ "$(calls | grep -c ' logs --follow --tail 100$')" = 1 ]
if box logs nobody 2>/run/said; then exit 1; fi
grep -q 'there is no service nobody' /run/said
if box logs sonarr plex 2>/dev/null; then exit 1; fi
holds "the log of a service is its journal and what its containers write"
box open seerr >/run/said
grep -q 'ssh -L 5055:127.0.0.1:5055 admin@every.local$' /run/said
grep -q 'http://localhost:5055$' /run/said
grep -q 'http://every.local:5055$' /run/said
if box open gluetun 2>/run/said; then exit 1; fi
grep -q 'Gluetun has no page to open' /run/said
holds "its owner is told the way in"
if box claim sonarr 2>/run/said; then exit 1; fi
grep -q 'what is: plex$' /run/said
printf '#!/bin/sh\nread -r token\necho "$token $UNIT $URLS" >/run/claimed\n' >"$services/plex/claim"
at plex
echo claim-token | python3 "$service" claim plex
grep -q '^claim-token boxwright-service-plex.service {"plex": "http://127.0.0.1:32400"}$' /run/claimed
holds "what has to be claimed asks its owner"
box reset-login | grep -q 'works for: .*sonarr'
if python3 "$service" reset-login plex me 2>/run/said; then exit 1; fi
grep -q 'plex.tv: reset the password there' /run/said
for user in -x '' "$(printf 'a\nb')"; do
	if box reset-login sonarr "$user" >/dev/null 2>&1; then exit 1; fi
done
printf '#!/bin/sh\nread -r password\necho "$# $1 $password" >/run/reset\n' >"$services/sonarr/reset-login"
box reset-login sonarr admin >/run/said
grep -q '^1 admin 0123456789abcdef0123456789abcdef$' /run/reset
grep -q '^password  0123456789abcdef0123456789abcdef$' /run/said
box reset-login sonarr 'a b' >/run/said
password=$(sed -n 's/^password  //p' /run/said)
[ "${#password}" = 20 ]
grep -q "^1 a b $password\$" /run/reset
printf '#!/bin/sh\necho "no such user" >&2\nexit 1\n' >"$services/sonarr/reset-login"
if box reset-login nobody me 2>/run/said; then exit 1; fi
grep -q "there is no service nobody" /run/said
if box reset-login sonarr uncle >/run/said 2>&1; then exit 1; fi
[ "$(cat /run/said)" = 'no such user' ]
holds "a new password is made, told once, and the box's own account keeps what box login tells"

python3 "$service" stop nextcloud || exit 1
calls | grep 'down --remove-orphans'
holds "a service that is stopped has no containers left"
