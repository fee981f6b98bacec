# sh -s NAME SECONDS DENIED: prints a certificate request, or nothing when the host has a certificate for NAME that is
# good for SECONDS more and whose serial is none of DENIED.
set -eu
name=$1 seconds=$2 denied=$3
umask 077
cd /etc/isthmus-agent/pki

serial=$(openssl x509 -in host.crt -noout -serial 2>/dev/null | sed 's/^serial=0*//' | tr A-F a-f) || serial=
for each in $denied; do
    # whoever has the key of a denied certificate has it still
    if [ "$each" = "$serial" ]; then rm -f host.key host.crt; fi
done

if [ ! -s host.key ]; then
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out host.key.new 2>/dev/null
    mv host.key.new host.key
fi

if openssl x509 -in host.crt -noout -checkend "$seconds" >/dev/null 2>&1 &&
    openssl verify -CAfile ca.crt -purpose sslserver host.crt >/dev/null 2>&1 &&
    openssl x509 -in host.crt -noout -ext subjectAltName 2>/dev/null | grep -q "DNS:$name\$" &&
    [ "$(openssl x509 -in host.crt -noout -pubkey)" = "$(openssl pkey -in host.key -pubout)" ]; then
    exit 0
fi
openssl req -new -key host.key -subj /CN=isthmus-host
