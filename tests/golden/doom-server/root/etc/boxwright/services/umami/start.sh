# Started by sh in the container.
# shellcheck shell=sh
set -eu
password=$(cat /run/secrets/db-password)
DATABASE_URL=postgresql://umami:$password@umami-db:5432/umami
APP_SECRET=$(cat /run/secrets/app-secret)
export DATABASE_URL APP_SECRET
exec pnpm start-docker
