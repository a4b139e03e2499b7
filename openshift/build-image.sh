#!/usr/bin/env bash
# Build Lando's image with buildah, in chroot isolation: no docker, no daemon; as root on Debian, no registry either.
#
#   openshift/build-image.sh                     base made by debootstrap from Debian's archive, once
#   openshift/build-image.sh --name              only say what the image is called
#   FRESH=1 openshift/build-image.sh             the base made anew, with today's security updates
#   MIRROR=http://… openshift/build-image.sh     that archive instead of debootstrap's own choice
#   BASE=debian:bookworm-slim openshift/build-image.sh      base pulled from a registry instead
#
# IMAGE names the result (default: lando:<version>). PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and PIP_CERT are passed on.
# Ends with the image's size and where it comes from; the image stays in buildah's store: `buildah push` takes it away.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITE=bookworm
OWN_BASE=lando-base:$SUITE
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE=${IMAGE:-lando:$version}
if [[ ${1:-} == --name ]]; then echo "$IMAGE"; exit; fi

say() { printf '%(%H:%M:%S)T %s\n' -1 "$*" >&2; }
die() { echo "build-image.sh: $*" >&2; exit 1; }

needed=(buildah); [[ -n ${BASE:-} ]] || needed+=(debootstrap)
for program in "${needed[@]}"; do
  command -v "$program" >/dev/null || die "$program is not installed: apt-get install --no-install-recommends ${needed[*]}"
done
[[ -n ${BASE:-} || $(id -u) == 0 ]] || die 'debootstrap needs root; or name a base to pull: BASE=debian:bookworm-slim'
export BUILDAH_ISOLATION=chroot

work=$(mktemp -d)
working=
clean_up() {
  [[ -z $working ]] || buildah rm "$working" >/dev/null 2>&1 || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# As debian:bookworm-slim is: the minimal system without documentation and translations.
make_base() {
  local sources=$work/root/etc/apt/sources.list archive
  say "base: debootstrap of $SUITE"
  debootstrap --variant=minbase "$SUITE" "$work/root" ${MIRROR:+"$MIRROR"} >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; die 'debootstrap failed'; }
  archive=$(awk '$1 == "deb" {print $2; exit}' "$sources")
  archive=${archive%/}
  cat >"$sources" <<END
deb $archive $SUITE main
deb $archive $SUITE-updates main
deb ${archive%/debian}/debian-security $SUITE-security main
END
  printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$work/root/etc/dpkg/dpkg.cfg.d/slim"
  rm -f "$work"/root/etc/{hostname,resolv.conf}  # this machine's
  rm -rf "$work"/root/usr/share/{doc,info,locale,man}/* "$work"/root/var/{cache/apt,lib/apt/lists,log}/*
  working=$(buildah from scratch)
  buildah add -q "$working" "$work/root" / >/dev/null
  buildah run "$working" -- sh -c 'apt-get update -qq && apt-get upgrade -y -qq >/dev/null && rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/*'
  buildah config --cmd bash "$working"
  buildah commit -q "$working" "$OWN_BASE" >/dev/null
  buildah rm "$working" >/dev/null
  working=
  rm -rf "$work/root"
}

options=(--pull)
if [[ -z ${BASE:-} ]]; then
  BASE=$OWN_BASE options=(--pull-never)
  if [[ -n ${FRESH:-} ]] || ! buildah inspect --type image "$OWN_BASE" >/dev/null 2>&1; then make_base; fi
fi
for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
  [[ -z ${!variable:-} ]] || options+=(--build-arg "$variable=${!variable}")
done
if [[ -n ${PIP_CERT:-} ]]; then  # the certificates that this machine's pip trusts
  options+=(--secret "id=pip-certificates,src=$(realpath "$PIP_CERT")" --build-arg PIP_CERT=/run/pip-certificates.crt)
fi

say "image: $IMAGE from $BASE"
buildah build --layers --build-arg BASE="$BASE" "${options[@]}" -t "$IMAGE" . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log" >&2; die 'the build failed; its last lines are above'; }
# Of what builds leave without a name, the newest is what the next one begins with; the rest only takes space.
buildah images -q --no-trunc --filter dangling=true --filter label=org.opencontainers.image.title=lando | tail -n +2 |
  sed 's/^sha256://' | xargs -r -n 1 buildah rmi >/dev/null 2>&1 || true

say 'size in MiB, unpacked and by its largest parts:'
working=$(buildah from --pull-never "$IMAGE")
cd "$(buildah mount "$working")"
du -xsm .
du -xsm usr/bin usr/lib/x86_64-linux-gnu usr/lib/python3* opt/lando/lib/python3*/site-packages/* | sort -rn | sed -n 1,14p
cd - >/dev/null
say 'and as it is sent, its layers: what Lando needs, Debian, Python, Lando'
buildah push -q "$IMAGE" "oci:$work/oci"
find "$work/oci/blobs" -type f -size +100k -printf '%s\n' | sort -rn | awk '{printf "%.1f\n", $1 / 2^20}'
say "built $IMAGE"
