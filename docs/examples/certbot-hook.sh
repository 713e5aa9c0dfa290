#!/bin/sh
# /etc/letsencrypt/renewal-hooks/deploy/mic.sh, mode 0755: run by certbot, as root, after each renewal, and once by hand:
# RENEWED_LINEAGE=/etc/letsencrypt/live/forge.example.org /etc/letsencrypt/renewal-hooks/deploy/mic.sh
# The server finds the new files within seconds.
set -eu
install -m 0640 -o root -g mic "$RENEWED_LINEAGE/fullchain.pem" /etc/mic/cert.pem
install -m 0640 -o root -g mic "$RENEWED_LINEAGE/privkey.pem" /etc/mic/key.pem
