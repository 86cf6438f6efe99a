#!/bin/sh
# install.sh PACKAGE…: installs those of Debian's packages that are missing, and
# unpacks Exim, which Debian does not install beside Postfix. Nothing of it is
# started, and nothing that is installed already is removed for it.
set -eu
exim=/opt/exim4

missing=
for p; do
	[ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || missing="$missing $p"
done
[ -x $exim/usr/sbin/exim4 ] && id Debian-exim >/dev/null 2>&1 || missing="$missing exim4-daemon-light"
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "the tests need these packages, install them as root (make clients):$missing"; exit 1; }

work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -rf "$work" $policy' EXIT
else
	trap 'rm -rf "$work"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
case "$missing" in *" postfix"*)
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections ;;
esac
case "$missing" in *" exim4-daemon-light"*)
	missing=$(echo "$missing" | sed 's/ exim4-daemon-light//')
	(cd "$work" && chmod 755 . && apt-get download -qq exim4-daemon-light >said 2>&1 || { cat said; exit 1; })
	dpkg -x "$work"/*.deb $exim
	chmod u-s $exim/usr/sbin/exim4 # root runs it
	id Debian-exim >/dev/null 2>&1 ||
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin Debian-exim ;;
esac
[ -z "$missing" ] || apt-get install -y -qq --no-install-recommends --no-remove $missing >/dev/null
