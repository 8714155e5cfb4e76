"""Logs in at a gateway with eth-account and siwe, with a fresh wallet, and prints the gateway's answer.

python3 log_in.py ORIGIN CHAIN_ID
"""

import datetime
import json
import sys
import urllib.request

from eth_account import Account
from eth_account.messages import encode_defunct
from siwe import SiweMessage


def post(origin, path, body):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(origin + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def main():
    origin, chain_id = sys.argv[1], int(sys.argv[2])
    account = Account.create()
    nonce = post(origin, "/auth/siwe/nonce", {"ethereumAddress": account.address})["nonce"]
    issued_at = datetime.datetime.now(datetime.timezone.utc)
    message = SiweMessage(
        domain=origin.split("://")[1],
        address=account.address,
        uri=origin,
        version="1",
        chain_id=chain_id,
        nonce=nonce,
        issued_at=issued_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    ).prepare_message()
    signature = "0x" + account.sign_message(encode_defunct(text=message)).signature.hex().removeprefix("0x")
    tokens = post(origin, "/auth/siwe/verify", {"message": message, "signature": signature})
    assert tokens["user"]["ethereumAddress"] == account.address
    print(json.dumps(tokens))


main()
