"""How schemathesis proves who it is: every way that an operation's description allows, one call after another.

The scene (addresses and keys of the gateway under test) is in the environment as JSON."""

import hashlib
import itertools
import json
import os
import re
import time

import requests
import schemathesis
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

SCENE = json.loads(os.environ["COUNTERSIGN_SCENE"])
GATEWAY, OPERATOR = SCENE["gateway"], SCENE["operator"]
CHAIN_ID = SCENE["chainId"]
# Seconds: a busy machine is no fault of the gateway.
PATIENCE = 300
# A user of the scene, who has an escrow with funds.
WALLET = Account.from_key(SCENE["walletKey"])

# Whose key gets furthest where the answer depends on it; all others are an admin's.
KEYS_OF = {
    "create_approval": ["agent", "orion", "user", "arbiter"],
    "get_approval_status": ["arbiter", "user", "admin"],
    "get_user_transactions": ["admin", "user", "orion"],
    "update_tee_proof": ["orion", "admin"],
    "update_settlement": ["orion", "admin"],
    "get_fireblocks_config": ["agent"],
    "create_quorum": ["agent"],
}
turns: dict = {}


def take_turns(name, choices):
    """The next of the choices, which begin anew after the last."""
    return next(turns.setdefault(name, itertools.cycle(choices)))


class Session:
    """The wallet's session: ended by operations under test, and opened again."""

    token = None

    def access_token(self):
        if self.token is not None:
            headers = {"authorization": f"Bearer {self.token}"}
            if requests.get(f"{GATEWAY}/auth/validate", headers=headers, timeout=PATIENCE).status_code == 200:
                return self.token
        self.token = self.open()["accessToken"]
        return self.token

    def open(self):
        return requests.post(f"{GATEWAY}/auth/siwe/verify", json=sign_in(), timeout=PATIENCE).json()


def sign_in():
    """A message for one login, with its signature."""
    nonce = requests.post(f"{GATEWAY}/auth/siwe/nonce", json={}, timeout=PATIENCE).json()
    lines = [
        f"{GATEWAY.split('://')[1]} wants you to sign in with your Ethereum account:",
        WALLET.address,
        "",
        "",
        f"URI: {GATEWAY}",
        "Version: 1",
        f"Chain ID: {CHAIN_ID}",
        f"Nonce: {nonce['nonce']}",
        f"Issued At: {nonce['issuedAt']}",
    ]
    return {"message": "\n".join(lines), "signature": signed("\n".join(lines))}


def signed(text):
    """`personal_sign` of the text."""
    return "0x" + Account.sign_message(encode_defunct(text=text), WALLET.key).signature.hex().removeprefix("0x")


session = Session()


def user_key():
    headers = {"authorization": f"Bearer {session.access_token()}"}
    made = requests.post(f"{GATEWAY}/user-api-keys", json={"name": "fuzz"}, headers=headers, timeout=PATIENCE)
    return made.json()["key"]


KEYS = SCENE["keys"] | {"user": user_key()}


def key_of(operation, body):
    if operation == "create_transaction" and isinstance(body, dict):
        # Content in clear is an admin's to send; users' keys act for their owner, whom others have to name.
        own = "encryptedPayload" in body and "ethereumAddress" not in body
        operation = "user" if own else "admin" if "to" in body else "agent"
        return take_turns(operation, [operation, operation, "admin"])
    return take_turns(f"keys of {operation}", KEYS_OF.get(operation, ["admin"]))


# A way is chosen anew for each call.
@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        ways = case.operation.definition.raw.get("security", [])
        return take_turns(case.operation.label, [tuple(way) for way in ways]) if ways else None

    def set(self, case, way, context):
        if "apiKey" in way:
            name = case.operation.definition.raw["operationId"]
            case.headers["x-api-key"] = KEYS[key_of(name, case.body)]
        elif "internalToken" in way:
            case.headers["x-internal-token"] = SCENE["internalToken"]
        elif "accessToken" in way:
            case.headers["authorization"] = f"Bearer {session.access_token()}"
        else:
            case.headers["x-ethereum-address"] = WALLET.address
            case.headers["x-ethereum-signature"] = TO_BE_SIGNED
            if "ethereumExpires" in way:
                case.headers["x-ethereum-expires"] = str(int(time.time()) + 600)


# Stands for the signature until the request is complete.
TO_BE_SIGNED = "0x"


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["auth"] = completed


def approval_signed(request):
    """Form 3, over what the gateway tells of the transaction; a signature of nothing where it tells nothing."""
    status_url = f"{GATEWAY}{request.path_url.rsplit('/', 1)[0]}/approval-status"
    told = requests.get(status_url, headers={"x-api-key": KEYS["admin"]}, timeout=PATIENCE)
    try:
        approved = json.loads(request.body or b"").get("approved")
    except (ValueError, AttributeError):
        approved = None
    if told.status_code != 200 or not isinstance(approved, bool):
        return signed("nothing")
    names = ["organization", "transactionId", "requestHash", "intentHash"]
    message = {name: told.json()[name] for name in names} | {"origin": GATEWAY, "approved": approved}
    message["expires"] = int(request.headers["x-ethereum-expires"])
    fields = [("string", "origin"), ("string", "organization"), ("string", "transactionId"),
              ("bytes32", "requestHash"), ("bytes32", "intentHash"), ("bool", "approved"), ("uint256", "expires")]
    types = {"Approval": [{"name": name, "type": kind} for kind, name in fields]}
    domain = {"name": "gateway-core", "version": "1", "chainId": CHAIN_ID}
    signable = encode_typed_data(domain, types, message)
    return "0x" + Account.sign_message(signable, WALLET.key).signature.hex().removeprefix("0x")


def completed(request):
    """Signs the very bytes that will be sent; what verification services call is served elsewhere."""
    if request.headers.get("x-ethereum-signature") == TO_BE_SIGNED and "x-ethereum-expires" in request.headers:
        request.headers["x-ethereum-signature"] = approval_signed(request)
    elif request.headers.get("x-ethereum-signature") == TO_BE_SIGNED:
        body = request.body or b""
        digest = hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()
        timestamp = str(int(time.time()))
        lines = ["gateway-core-v1", GATEWAY, request.method, request.path_url, digest, timestamp]
        request.headers["x-ethereum-signature"] = signed("\n".join(lines))
        request.headers["x-ethereum-timestamp"] = timestamp
    if request.path_url.startswith("/internal/"):
        request.url = OPERATOR + request.path_url
    return request
