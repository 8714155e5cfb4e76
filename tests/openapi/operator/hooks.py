"""What schemathesis needs besides the operators' document: their keys, and what exists.

The scene (addresses, operators and ids of the gateway under test) is in the environment as JSON. What was answered with
success is written to `reached.json` at the end."""

import atexit
import base64
import hashlib
import itertools
import json
import os
import random
import re
import secrets
import time

import requests
import schemathesis
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

SCENE = json.loads(os.environ["COUNTERSIGN_SCENE"])
OPERATOR, ORGANIZATION = SCENE["operator"], SCENE["organization"]
# Seconds: a busy machine is no fault of the gateway.
PATIENCE = 300
KEYS = {person["name"]: ECC.import_key(open(person["key"], encoding="ascii").read()) for person in SCENE["people"]}
IDS = {person["name"]: person["id"] for person in SCENE["people"]}
AUTHOR, APPROVERS, AUDITOR, LEAVER = "ann", ["bob", "cy"], "dee", "eve"
# What was answered comes back as arguments: whoever is asked in these names must not lose them.
NEEDED = {IDS[name] for name in [AUTHOR, *APPROVERS, AUDITOR]}

with open(SCENE["component"], "rb") as component:
    UPLOAD = SCENE["upload"] | {"component": base64.b64encode(component.read()).decode()}

# Who gets furthest with an operation; everybody else may only read.
BY_AUTHOR = {"create_proposal", "upload_plugin", "withdraw_proposal", "claim_api_key", "create_dry_run", "roll_back_policy"}
BY_APPROVER = {"approve_proposal", "refuse_proposal", "revoke_operator", "revoke_plugin", "revoke_api_key", "freeze"}
proposals, reached, turns = [], set(), itertools.cycle([AUTHOR, *APPROVERS, AUDITOR])
approvers = itertools.cycle(APPROVERS)


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def proof(name, method, path, body):
    """A JWT for this request alone."""
    header = {"typ": "countersign-operator+jwt", "alg": "ES256", "kid": IDS[name]}
    claims = {"htm": method, "htu": path, "bsh": encoded(hashlib.sha256(body).digest()), "iat": int(time.time())}
    signed = f"{encoded(header)}.{encoded(claims | {'jti': secrets.token_hex(16)})}"
    signature = DSS.new(KEYS[name], "fips-186-3").sign(SHA256.new(signed.encode()))
    return f"Operator {signed}.{encoded(signature)}"


def ask(name, method, path, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"authorization": proof(name, method, path, data)}
    if body is not None:
        headers["content-type"] = "application/json"
    answer = requests.request(method, OPERATOR + path, data=data, headers=headers, timeout=PATIENCE)
    if not answer.ok:
        raise RuntimeError(f"{name}: {method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        operation = case.operation.definition.raw["operationId"]
        if operation in BY_AUTHOR:
            return AUTHOR
        return next(approvers if operation in BY_APPROVER else turns)

    def set(self, case, name, context):
        # Stands for the proof until the request is complete.
        case.headers["authorization"] = f"by {name}"


def completed(request):
    """Signs the very bytes that will be sent."""
    signer = re.fullmatch("by ([a-z]+)", request.headers.get("authorization", ""))
    if signer:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers["authorization"] = proof(signer[1], request.method, request.path_url, body)
    return request


def chance(value):
    """Numbers that are the same whenever the value is."""
    text = json.dumps(value, sort_keys=True, default=str)
    return random.Random(hashlib.sha256(text.encode()).digest())


UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def is_id(value):
    return isinstance(value, str) and re.fullmatch(UUID, value) is not None


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["auth"] = completed
    operation = case.operation.definition.raw["operationId"]
    parameters, dice = case.path_parameters or {}, chance([case.path_parameters, case.body])
    spare(operation, parameters, case.body)
    if dice.random() < 0.2:
        return
    if is_id(parameters.get("organization")):
        parameters["organization"] = ORGANIZATION
    if isinstance(parameters.get("revision"), int) and parameters["revision"] > 0:
        parameters["revision"] = 1
    if is_id(parameters.get("id")):
        name_what_exists(operation, parameters, case, dice)
    if operation == "create_proposal" and isinstance(case.body, dict) and "change" in case.body:
        case.body = proposed(case.body, dice)
    if operation == "upload_plugin" and isinstance(case.body, dict) and "component" in case.body:
        case.body = UPLOAD
    if operation == "create_dry_run" and isinstance(case.body, dict) and "escrowAddress" in case.body:
        case.body |= {"escrowAddress": SCENE["escrow"], "chainId": SCENE["chainId"], "value": "1"}
    if operation == "freeze" and isinstance(case.body, dict):
        case.body |= {name: SCENE[name] for name in ("key", "vault") if is_id(case.body.get(name))}


def spare(operation, parameters, body):
    """Keeps those who are needed from being revoked, or losing their roles."""
    if operation == "revoke_operator" and parameters.get("id") in NEEDED:
        parameters["id"] = IDS[LEAVER]
    change = body.get("change") if operation == "create_proposal" and isinstance(body, dict) else None
    if isinstance(change, dict):
        for field in ("revoked", "roles"):
            if any(needed in json.dumps(change.get(field)) for needed in NEEDED):
                del change[field]


def name_what_exists(operation, parameters, case, dice):
    if operation == "revoke_operator":
        parameters["id"] = IDS[LEAVER]
    elif operation == "revoke_api_key":
        parameters["id"] = SCENE["apiKey"]
    elif operation == "list_evaluations":
        parameters["id"] = SCENE["evaluated"]
    elif "vault" in operation:
        parameters["id"] = SCENE["vault"]
    elif "plugin" in operation:
        parameters["id"] = SCENE["candidate"] if operation == "revoke_plugin" else SCENE["revision"]
    elif operation == "claim_api_key":
        parameters["id"] = carried_key()
    else:
        proposal = ask(AUTHOR, "POST", "/operator/v1/proposals", new_key()) if dice.random() < 0.5 else None
        proposal = proposal or dice.choice(proposals or [ask(AUTHOR, "POST", "/operator/v1/proposals", new_key())])
        parameters["id"] = proposal["id"]
        if isinstance(case.body, dict) and "digest" in case.body:
            case.body = {"digest": proposal["digest"]}


def new_key():
    change = {"kind": "api_key", "label": "agent", "name": "fuzz"}
    return {"organization": ORGANIZATION, "change": change, "reason": "to be fuzzed"}


def carried_key():
    """A proposal of a key that nobody has taken yet."""
    proposal = ask(AUTHOR, "POST", "/operator/v1/proposals", new_key())
    for approver in APPROVERS:
        path = f"/operator/v1/proposals/{proposal['id']}/approve"
        ask(approver, "POST", path, {"digest": proposal["digest"]})
    return proposal["id"]


def proposed(body, dice):
    """Of the scene's organization, and now and then a change that can be made."""
    known = dict(body)
    change = known["change"] if isinstance(known["change"], dict) else {}
    if change.get("kind") == "charter":
        known.pop("organization", None)
    elif is_id(known.get("organization")):
        known["organization"] = ORGANIZATION
    if change.get("kind") == "api_key" and dice.random() < 0.7:
        known["change"] = new_key()["change"]
    if change.get("kind") == "key_move":
        known["change"] = change | {name: SCENE[name] for name in ("key", "vault") if is_id(change.get(name))}
    if change.get("kind") == "policy" and dice.random() < 0.7:
        known["change"] = SCENE["policy"]
    return known


@schemathesis.hook
def after_call(context, case, response):
    if response.request.method.lower() != case.operation.method.lower() or not response.status_code // 100 == 2:
        return
    operation = case.operation.definition.raw["operationId"]
    reached.add(operation)
    if operation == "create_proposal":
        proposals.append(response.json())


@atexit.register
def tell():
    with open("reached.json", "w", encoding="ascii") as file:
        json.dump(sorted(reached), file)
