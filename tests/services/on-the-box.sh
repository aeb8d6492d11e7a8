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
# The overlay of the boot has what asks systemd.
cp "$stand_ins/../../overlays/system/boot/root/usr/lib/boxwright/units.py" "$tree/usr/lib/boxwright/"
service=$tree/usr/lib/boxwright/service
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
	if python3 "$service" start "${planted%%/*}" 2>/run/said; then exit 1; fi
	[ "$(cat /run/victim)" = untouched ]
	rm "$link"
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
grep -q 'Uptime Kuma: its container uptime-kuma is unhealthy' /run/boxwright/problems/service-uptime-kuma
[ ! -e /run/boxwright/problems/service-nextcloud ]
holds "what is broken is said"
look=0
while [ "$look" -lt 10 ]; do
	python3 "$service" watch
	look=$((look + 1))
done
[ "$(grep -c 'restart boxwright-service-uptime-kuma' /run/systemctl.log)" = 1 ]
holds "what stays broken is restarted, with patience"
python3 "$service" status | grep -q '"ready": false'

python3 - <<'END'
import json
path = "/run/docker-stand-in.json"
state = json.load(open(path))
state["containers"]["cloudflared"]["NetworkSettings"] = {"Networks": {"one": {"IPAddress": "127.0.0.1"}}}
json.dump(state, open(path, "w"))
END
printf '#!/bin/sh\n[ "$ADDRESS" ] && echo "it serves something else" >&2\nexit 3\n' >/etc/boxwright/services/cloudflared/check
python3 "$service" watch
grep -q -- '--no-block stop boxwright-service-cloudflared.service' /run/systemctl.log
grep -q 'it serves something else' /run/boxwright/services/cloudflared.stopped
grep -q 'cloudflared: it serves something else' /run/boxwright/problems/service-cloudflared
grep -q 'ConditionPathExists=!/run/boxwright/services/cloudflared.stopped' "$tree/usr/lib/systemd/system/boxwright-service-cloudflared.service"
holds "what must not run any longer is stopped, and said"

python3 "$service" stop nextcloud || exit 1
calls | grep 'down --remove-orphans'
holds "a service that is stopped has no containers left"
