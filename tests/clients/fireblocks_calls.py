"""Makes calls with Fireblocks' own SDK and prints each answer's status and body.

python3 fireblocks_calls.py < {"url", "apiKey", "secretKey", "calls": [{"name", ...}]}
"""

import json
import sys

from fireblocks.client import Fireblocks
from fireblocks.client_configuration import ClientConfiguration
from fireblocks.exceptions import ApiException
from fireblocks.models.transaction_request import TransactionRequest


def answer(client, call):
    match call["name"]:
        case "list_vault_accounts":
            return client.vaults.get_paged_vault_accounts(limit=1)
        case "find":
            return client.transactions.get_transaction_by_external_id(call["externalId"])
        case "create":
            return client.transactions.create_transaction(
                idempotency_key=call["idempotencyKey"],
                transaction_request=TransactionRequest.from_dict(call["body"]),
            )


def tell(client, call):
    try:
        told = answer(client, call).result()
        return {"status": told.status_code, "body": json.loads(told.raw_data)}
    except ApiException as refused:
        return {"status": refused.status, "body": json.loads(refused.body)}


def main():
    order = json.load(sys.stdin)
    configuration = ClientConfiguration(
        api_key=order["apiKey"], secret_key=order["secretKey"], base_path=order["url"] + "/v1"
    )
    with Fireblocks(configuration) as client:
        print(json.dumps([tell(client, call) for call in order["calls"]]))


main()
