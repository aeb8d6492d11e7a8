# Started by sh in the container for each image that has a newer version; diun's variables say which.
# shellcheck shell=sh
set -eu
title="A new version: ${DIUN_ENTRY_METADATA_SERVICE:-$DIUN_ENTRY_IMAGE}"
text="$DIUN_ENTRY_IMAGE is out. \`boxwright lock --update\` takes it over."
if [ -s /run/secrets/pushbullet ]; then
	# Neither an image's name nor a service's title has a quote or a backslash in it.
	wget -q -O /dev/null --header "Access-Token: $(cat /run/secrets/pushbullet)" --header "Content-Type: application/json" \
		--post-data "{\"type\":\"note\",\"title\":\"$title\",\"body\":\"$text\"}" https://api.pushbullet.com/v2/pushes
fi
if [ -s /run/secrets/ntfy-topic ]; then
	wget -q -O /dev/null --header "Title: $title" --post-data "$text" \
		"${NTFY_SERVER:-https://ntfy.sh}/$(cat /run/secrets/ntfy-topic)"
fi
