#!/bin/sh
# A root file system in the place of the official image, for where there is no registry: Debian's PostgreSQL and gosu,
# laid out as https://github.com/docker-library/postgres does, with its docker-entrypoint.sh, which you bring.
#
#     tests/image/base.sh FOLDER SUITE MAJOR DOCKER-ENTRYPOINT.SH     (bookworm 15, trixie 17, sid 18)
#
# As root, with debootstrap. Nothing is started; a folder that is whole is left as it is.
set -eu
folder=$1 suite=$2 major=$3 entrypoint=$4
[ ! -e "$folder/laid" ] || exit 0
rm -rf "$folder"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$folder" "${MIRROR:-http://deb.debian.org/debian}"

in_it() {
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$@"' chroot "$folder" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
# No service is started in a chroot.
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 0755 "$folder/usr/sbin/policy-rc.d"
# A mirror that stands still has a list that is out of date one day.
echo 'Acquire::Check-Valid-Until "false";' >"$folder/etc/apt/apt.conf.d/99-standing-mirror"
# The ids of the official image.
in_it groupadd --system --gid 999 postgres
in_it useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres
in_it install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql
in_it apt-get update --quiet
in_it apt-get install --quiet --yes --no-install-recommends gosu less libnss-wrapper locales xz-utils zstd postgresql-common
in_it sed --regexp-extended --in-place 's/#(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf
in_it apt-get install --quiet --yes --no-install-recommends "postgresql-$major"
in_it sh -c 'echo "en_US.UTF-8 UTF-8" >>/etc/locale.gen && locale-gen'
in_it sed --regexp-extended --in-place "s!^#?(listen_addresses)\\s*=\\s*\\S+.*!\\1 = '*'!" "/usr/share/postgresql/$major/postgresql.conf.sample"
in_it install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
[ "$major" -ge 18 ] || in_it install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql/data
in_it sh -c 'apt-get clean && rm -rf /var/lib/apt/lists/*'
rm "$folder/usr/sbin/policy-rc.d"
mkdir -p "$folder/docker-entrypoint-initdb.d"
install -m 0755 "$entrypoint" "$folder/usr/local/bin/docker-entrypoint.sh"
touch "$folder/laid"
