"""What schemathesis needs besides the document: credentials, and values that name what exists.

Generated values fit their form and nothing else, so most of them are replaced, now and then, by what the gateway has
told before: otherwise no request would get past the first look-up."""

import hashlib
import json
import random
import re
import subprocess

import credentials
import requests
import schemathesis
from credentials import CHAIN_ID, GATEWAY, KEYS, PATIENCE, SCENE, WALLET

SERVICE = SCENE["service"]
# What the gateway has told: hashes of transactions, ids of keys, tokens.
told = {"requestHash": [], "apiKeyId": [], "refreshToken": []}


@schemathesis.hook
def after_call(context, case, response):
    if response.request.method.lower() != case.operation.method.lower():
        # A question about the route, such as which methods it has.
        return
    operation = case.operation.definition.raw["operationId"]
    if operation == "create_transaction" and response.status_code == 201:
        told["requestHash"].append(response.json()["requestHash"])
    if operation == "create_user_api_key" and response.status_code == 201:
        told["apiKeyId"].append(response.json()["id"])
    if operation in ("verify_siwe", "refresh_token") and response.status_code == 200:
        told["refreshToken"].append(response.json()["refreshToken"])


def chance(value):
    """Numbers that are the same whenever the value is."""
    text = json.dumps(value, sort_keys=True, default=str)
    return random.Random(hashlib.sha256(text.encode()).digest())


def is_text(value, form):
    return isinstance(value, str) and re.fullmatch(form, value) is not None


ADDRESS, HASH = "0x[0-9a-fA-F]{40}", "0x[0-9a-fA-F]{64}"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@schemathesis.hook
def map_path_parameters(context, parameters):
    if not isinstance(parameters, dict):
        return parameters
    known, dice = dict(parameters), chance(parameters)
    if dice.random() < 0.2:
        return known
    if is_text(known.get("ethereumAddress"), ADDRESS):
        known["ethereumAddress"] = WALLET.address
    if is_text(known.get("requestHash"), HASH) and told["requestHash"]:
        known["requestHash"] = dice.choice(told["requestHash"][-8:])
    if is_text(known.get("apiKeyId"), UUID) and told["apiKeyId"]:
        known["apiKeyId"] = dice.choice(told["apiKeyId"])
    if is_text(known.get("inbox"), ADDRESS):
        known["inbox"] = SERVICE["inbox"]
    if isinstance(known.get("id"), int) and known["id"] > 0:
        known["id"] = SERVICE["id"]
    if is_text(known.get("key"), ".+"):
        known["key"] = SERVICE["fingerprint"]
    return known


@schemathesis.hook
def before_call(context, case, kwargs):
    """In every phase, whatever made the body."""
    operation = case.operation.definition.raw["operationId"]
    if not isinstance(case.body, dict):
        return
    if chance(case.body).random() >= 0.2:
        case.body = of_the_scene(case.body)
        if operation == "update_settlement" and is_text(case.path_parameters.get("requestHash"), HASH):
            case.path_parameters["requestHash"] = approved_elsewhere()
    if operation == "create_admin_transaction":
        # Always: what was answered before is generated again, and an escrow with a key here is refused by a rule.
        vendor_transaction(case.body)


def vendor_transaction(known):
    """Makes of a transaction's body one of the user whose funds lie at Fireblocks."""
    dice = chance(known)
    if is_text(known.get("escrowAddress"), ADDRESS):
        known["escrowAddress"] = SCENE["vendorEscrow"]
    if dice.random() < 0.7 and is_text(known.get("value"), "[0-9]+"):
        known["value"] = "1000"
    if dice.random() < 0.7 and is_text(known.get("data"), "0x.*"):
        known["data"] = "0x"


def approved_elsewhere():
    """A transaction that everybody agreed to and somebody else executes: each is settled once."""
    body = {"escrowAddress": SCENE["elsewhere"], "to": SERVICE["inbox"], "value": "1", "chainId": CHAIN_ID}
    headers = {"x-api-key": KEYS["admin"]}
    made = requests.post(f"{GATEWAY}/transactions", json=body, headers=headers, timeout=PATIENCE)
    return made.json()["requestHash"]


def of_the_scene(body):
    known, dice = dict(body), chance(body)
    number = known.get("chainId")
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        known["chainId"] = CHAIN_ID
    if is_text(known.get("refreshToken"), "(?s).*") and told["refreshToken"]:
        known["refreshToken"] = dice.choice(told["refreshToken"][-3:])
    if is_text(known.get("message"), "(?s).*") and is_text(known.get("signature"), "0x[0-9a-fA-F]{130}"):
        known |= credentials.sign_in()
    if is_text(known.get("pgpPublicKey"), "(?s).+"):
        known["pgpPublicKey"] = SERVICE["publicKey"]
        known["signature"] = credentials.signed(SERVICE["publicKey"])
    if "requestHash" in known and "approved" in known:
        # For orion keys, and equal to the path's.
        del known["requestHash"]
    if known.get("recreate") is True and dice.random() < 0.9:
        # Each takes seconds of the token.
        known["recreate"] = False
    if is_text(known.get("escrowAddress"), ADDRESS) and ("to" in known or "encryptedPayload" in known):
        transaction(known)
    return known


def transaction(known):
    """Makes of a transaction's body one of the scene's user."""
    known["escrowAddress"] = SCENE["escrow"]
    if known.get("executionType") in (1, 2) and "to" in known:
        known["executionType"] = 0
    if "to" in known and is_text(known.get("requestHash"), HASH) and is_text(known.get("requestNonce"), "[0-9]+"):
        # Together they would have to fit the other fields.
        del known["requestHash"], known["requestNonce"]
    if is_text(known.get("encryptedPayload"), "(?s).+") and is_text(known.get("requestHash"), HASH):
        known["verificationServiceId"] = SERVICE["id"]
        known["encryptedPayload"] = encrypted(known)
        for name in ("ipfsCid", "userSignature"):
            known.pop(name, None)
        if is_text(known.get("ethereumAddress"), ADDRESS):
            known["ethereumAddress"] = WALLET.address


def encrypted(known):
    """A message for the scene's verification service, which opens it."""
    request = {name: known.get(name) for name in ("requestHash", "escrowAddress", "chainId")}
    request |= {"to": SERVICE["inbox"], "value": "1000", "data": "0x"}
    command = ["gpg", "--homedir", SCENE["gpgHome"], "--batch", "--quiet", "--armor", "--trust-model", "always"]
    command += ["-r", SERVICE["fingerprint"], "--encrypt"]
    return subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True).stdout
