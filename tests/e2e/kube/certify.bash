# SPDX-License-Identifier: Apache-2.0
# Certificates for tests, in the current folder.

authority() { openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 2 -subj "/CN=$1" 2>/dev/null; }

# A certificate NAME.pem with NAME.key, signed by another.
certify() { # NAME SIGNER EXTENSIONS
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -out "$1.pem" -extfile <(echo "$3") 2>/dev/null
}
