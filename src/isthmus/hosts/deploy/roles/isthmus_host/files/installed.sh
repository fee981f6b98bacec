# After packages were installed: does at once what was put off, then takes away what put it off.
set -eu
/usr/bin/python3 -W ignore -m compileall -q -j 0 /usr/lib/python3/dist-packages
if grep -qs "deployment of Isthmus" /usr/sbin/policy-rc.d; then
    rm /usr/sbin/policy-rc.d
fi
rm -rf /usr/lib/isthmus-host/install /etc/apt/apt.conf.d/81isthmus-install
