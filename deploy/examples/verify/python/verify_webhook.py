"""Checks that a webhook comes from Anchorwatch and is fresh (Standard Webhooks; standard library only).

Call `verify` with the raw body, before parsing it. Give all secrets that are good now: while one replaces another,
that is both. On the command line the body is read from standard input:

    python3 verify_webhook.py 'whsec_NEW whsec_OLD' WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < body.json
"""

import base64
import hashlib
import hmac
import sys
import time

TOLERANCE_SECONDS = 300


def verify(secrets: str, webhook_id: str, timestamp: str, signatures: str, body: bytes, now=None) -> bool:
    """Whether one of the secrets signed this body under this id, within five minutes of now."""
    try:
        age = (time.time() if now is None else now) - int(timestamp)
    except ValueError:
        return False
    if abs(age) > TOLERANCE_SECONDS:
        return False  # an old request, sent again by somebody else
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    genuine = False
    for secret in secrets.split():
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        for signature in signatures.split():
            genuine |= hmac.compare_digest(expected.encode(), signature.encode())
    return genuine


if __name__ == "__main__":
    genuine = verify(*sys.argv[1:5], body=sys.stdin.buffer.read())
    print("genuine" if genuine else "NOT genuine: refuse it")
    sys.exit(0 if genuine else 1)
