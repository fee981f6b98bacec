# sh -s MODULES: after packages were installed: compiles what was put off, these modules and what they import at once,
# because they are started next and may not do it themselves, the rest by and by. Then takes away what put it off.
set -eu
/usr/bin/python3 -W ignore -c "import $1"
systemctl reset-failed isthmus-compile.service 2>/dev/null || true
systemctl is-active --quiet isthmus-compile.service ||
    systemd-run --quiet --collect --unit=isthmus-compile --property=CPUSchedulingPolicy=idle \
        /usr/bin/python3 -W ignore -m compileall -qq /usr/lib/python3/dist-packages
if grep -qs "deployment of Isthmus" /usr/sbin/policy-rc.d; then
    rm /usr/sbin/policy-rc.d
fi
rm -rf /usr/lib/isthmus-host/install /etc/apt/apt.conf.d/81isthmus-install
