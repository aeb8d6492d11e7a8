# Started by sh in the container: AMP takes licence and password from variables only, and so they stand in no definition.
# shellcheck shell=sh
set -eu
AMP_LICENCE=$(cat /run/secrets/licence)
PASSWORD=$(cat /run/secrets/password)
export AMP_LICENCE PASSWORD
exec /opt/entrypoint/main.sh
