"""The services group's list, its first page, as a Python function on boto3 that has the same promises: the token is looked
up by its hash and must carry the permission; one consistent Query brings the page."""

import hashlib
import json
import os
import time

import boto3
from botocore.config import Config

from runtime import run

TABLE = os.environ["CAUSEWAY_TABLE"]
dynamodb = boto3.client("dynamodb", config=Config(retries={"mode": "standard", "max_attempts": 3}))
remembered = {}


def answer(status, body):
    headers = {"content-type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body), "isBase64Encoded": False}


def principal(event):
    """The token's record, remembered for a minute."""
    scheme, _, token = event["headers"].get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    hashed = hashlib.sha256(token.encode()).hexdigest()
    known = remembered.get(hashed)
    if known and time.monotonic() - known[0] < 60:
        return known[1]
    key = {"pk": {"S": f"TOKEN#{hashed}"}, "sk": {"S": "TOKEN"}}
    item = dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True).get("Item")
    if item is None or "revoked_at" in item:
        return None
    remembered[hashed] = (time.monotonic(), item)
    return item


def handle(event):
    """Answers one event of API Gateway."""
    token = principal(event)
    if token is None:
        return answer(401, {"error": "unauthorized"})
    if {"S": "services:read"} not in token["permissions"]["L"]:
        return answer(403, {"error": "insufficient_scope"})
    limit = int((event.get("queryStringParameters") or {}).get("limit", "50"))
    page = dynamodb.query(
        TableName=TABLE,
        ConsistentRead=True,
        Limit=limit + 1,
        KeyConditionExpression="pk = :p AND begins_with(sk, :s)",
        ExpressionAttributeValues={":p": {"S": f"T#{token['tenant']['S']}#services"}, ":s": {"S": "I#"}},
    )
    data = [
        {
            "id": item["id"]["S"],
            "name": item["name"]["S"],
            "type": item["kind"]["S"],
            "isManaged": item["is_managed"]["BOOL"],
            "createdAt": item["created_at"]["S"],
            "updatedAt": item["updated_at"]["S"],
        }
        for item in page["Items"][:limit]
    ]
    return answer(200, {"data": data})


run(handle)
