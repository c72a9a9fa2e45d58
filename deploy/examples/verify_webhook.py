"""Checks that a webhook comes from Anchorwatch and is fresh (Standard Webhooks; standard library only).

Call `verify` with the raw body, before parsing it. On the command line the body is read from standard input:

    python3 verify_webhook.py whsec_SECRET WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < body.json
"""

import base64
import hashlib
import hmac
import sys
import time

TOLERANCE_SECONDS = 300


def verify(secret: str, webhook_id: str, timestamp: str, signatures: str, body: bytes, now=None) -> bool:
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        return False  # an old request, sent again by somebody else
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, signature) for signature in signatures.split())


if __name__ == "__main__":
    genuine = verify(*sys.argv[1:5], body=sys.stdin.buffer.read())
    print("genuine" if genuine else "NOT genuine: refuse it")
    sys.exit(0 if genuine else 1)
