"""Puts something into each group of a running sandbox and writes a configuration that names it, so that requests by id
reach something.

    schemathesis_seed.py <dev.json> <what the stack printed> <folder for <group>.toml>
"""

import json
import re
import sys
import urllib.request

dev, printed, folder = json.load(open(sys.argv[1])), open(sys.argv[2]).read(), sys.argv[3]
tenant = dev["tenants"][0]


def sandbox(name):
    """A value that the printed lines set: credentials that work in the sandbox."""
    return re.search(rf"\b{name}=(\S+)", printed).group(1)


def call(group, method, path, body):
    headers = {
        "Authorization": f"Bearer {tenant['tokens']['admin']}",
        "X-Client-Id": tenant["client_id"],
        "X-Client-Secret": tenant["client_secret"],
        "Content-Type": "application/json",
    }
    url = dev["groups"][group]["base_url"] + path
    request = urllib.request.Request(url, method=method, headers=headers, data=json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


wallet = call("wallets", "POST", "/v1/integrations", {"provider": "bitcoin", "address": sandbox("ADDRESS")})
slack = {"name": "Seed", "type": "slack", "config": {"webhookUrl": sandbox("SLACK_WEBHOOK_URL")}}
service = call("services", "POST", "/api/integrations", slack)
key = {"provider_name": "openrouter", "credentials": {"api_key": sandbox("KEY_1")}}
key = call("keys", "POST", "/api/v1/integrations", key)["integration"]
connection = call("vaults", "POST", "/v1/integrations/vercel/connect", {"token": sandbox("TOKEN")})["data"]
secrets = "/v1/vaults/acme/app/environments/production/secrets"
call("vaults", "PUT", secrets, {"DATABASE_URL": "postgres://db", "API_KEY": "k-123456"})

known = {
    "wallets": {"path.walletId": wallet["walletId"]},
    "services": {"path.integrationId": service["id"]},
    "keys": {"path.id": key["id"]},
    "vaults": {
        "path.id": connection["id"],
        "path.owner": "acme",
        "path.repo": "app",
        "path.environment": "production",
        "path.provider": "vercel",
        "query.connectionId": connection["id"],
        "query.projectId": sandbox("PROJECT"),
    },
}
for group, parameters in known.items():
    with open(f"{folder}/{group}.toml", "w") as file:
        file.write("[parameters]\n")
        file.writelines(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in parameters.items())
