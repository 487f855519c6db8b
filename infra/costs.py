"""What a stack costs a month, from list prices and from what the integrations are assumed to do.

    python3 infra/costs.py                              prints the tables
    python3 infra/costs.py --check docs/OPERATIONS.md   fails unless the document has them

Change the numbers below to those of your region and of your customers. The cost of a group is

    integrations x (secrets x price of a secret + the sum over the months' calls of count x price)

and the stack's is the sum of its groups, what runs without any integration, and what is observed. Units of the table are
counted as DynamoDB does: a write is one unit for each started KB and each index that it changes, twice that in a
transaction; a consistent read is one for each 4 KB. Free tiers are left out.
"""

import sys
from dataclasses import dataclass

MONTH_HOURS = 730
MONTH_DAYS = 30.4

# us-east-1, list prices of November 2026, in US dollars. Lambda on x86_64.
SECRET = 0.40
SECRET_CALL = 0.05 / 10_000
REQUEST = 1.00 / 1e6
INVOCATION = 0.20 / 1e6
GB_SECOND = 0.0000166667
WRITE = 0.625 / 1e6
READ = 0.125 / 1e6
STORAGE = 0.25 + 0.20  # a GB and month, with point-in-time recovery
LOG_TAKEN_IN = 0.50  # a GB
METRIC = 0.30
ALARM = 0.10
KEY = 1.00
DASHBOARD = 3.00
TRACE = 5.00 / 1e6
# X-Ray's default rule traces the first request of each second and one in twenty of the others.
SECONDS = MONTH_HOURS * 3_600
SAMPLED = 0.05

MEMORY_GB = 0.25
# A line of a request in the function's log, its metrics, and API Gateway's line.
LOGGED_REQUEST_GB = (300 + 500 + 400) / 1e9
LOGGED_WORK_GB = 400 / 1e9


@dataclass
class Group:
    """What one integration has and what happens to it in a month."""

    name: str
    secrets: float
    stored_kb: float
    calls: float  # of the API
    call_seconds: float
    work: float  # in the background: a sync, a check
    work_seconds: float  # of a function: eight are worked on at once, so an eighth of what one takes
    reads: float
    writes: float
    secret_calls: float


HOURLY = MONTH_HOURS
DAILY = MONTH_DAYS

# What the audit log keeps of a change or a message: two entries of a third of a KB, for 400 days.
AUDIT_WRITES = 2
AUDIT_KB = 0.7 * 400 / MONTH_DAYS

GROUPS = [
    # Half are bare addresses, without a secret. Synced every hour: 2 reads, and 20 writes with the claim, the page, the
    # end and their indexes; 100 new records a month. Looked at 20 times.
    Group("wallets", 0.5, 60, 20, 0.02, HOURLY, 2.0 / 8, HOURLY * 2 + 20 * 3, HOURLY * 20 + 100 * 2, HOURLY * 0.5),
    # Tested once a day, 300 messages sent, looked at 20 times. Half of the reads of a secret are remembered.
    Group(
        "services", 1, 2 + 300 * AUDIT_KB, 320, 0.30, DAILY, 0.4 / 8, DAILY * 3 + 320, DAILY * 8 + 300 * AUDIT_WRITES,
        DAILY + 150,
    ),
    # Acquired and reported 3,000 times, a provider's ten keys read with each; two of three reads of the secret are
    # remembered. Billing every hour.
    Group("keys", 1, 6, 6_000, 0.01, HOURLY, 0.4 / 8, 3_000 * 11 + HOURLY * 2, 3_000 * 5 + HOURLY * 4, 1_000 + HOURLY),
    # A connection and one environment of up to 64 KiB. 30 pushes over an automatic link, looked at for drift once a day,
    # 20 changes and looks. No token to renew: one that lasts an hour adds 730 x (4 calls, 2 reads, 8 writes).
    Group(
        "vaults", 2, 20 + 20 * AUDIT_KB, 20, 0.20, 30 + DAILY, 3.0 / 8, (50 + DAILY) * 10,
        30 * 30 + 20 * (6 + AUDIT_WRITES) + DAILY * 4, (50 + DAILY) * 3,
    ),
]


def of_group(group, integrations):
    """The cost of so many integrations of one group, by service."""
    seconds = group.calls * group.call_seconds + group.work * group.work_seconds
    logs = group.calls * LOGGED_REQUEST_GB + group.work * LOGGED_WORK_GB
    one = {
        "secrets": group.secrets * SECRET,
        "calls of Secrets Manager": group.secret_calls * SECRET_CALL,
        "DynamoDB": group.reads * READ + group.writes * WRITE + group.stored_kb / 1e6 * STORAGE,
        # A tenth of an invocation for a piece of background work: they are taken in batches.
        "Lambda": (group.calls + group.work / 10) * INVOCATION + seconds * MEMORY_GB * GB_SECOND,
        "API Gateway": group.calls * REQUEST,
        "logs": logs * LOG_TAKEN_IN,
    }
    costs = {service: cost * integrations for service, cost in one.items()}
    return {**costs, "X-Ray": traced(invocations(group) * integrations) * TRACE}


def invocations(group):
    """How often functions run for one integration. A tenth of an invocation for a piece of background work, as above."""
    return group.calls + group.work / 10


def traced(requests):
    """How many of a month's requests are traced, spread evenly over it: the first of each second, then a sample."""
    return min(requests, SECONDS) + max(requests - SECONDS, 0) * SAMPLED


# wallets-sync every minute, three jobs every five, two resumes every fifteen, one every hour; 50 ms each, four queues each.
SCHEDULED = MONTH_HOURS * (60 + 3 * 12 + 2 * 4 + 1)


def of_stack(metrics, requests):
    """What costs money without any integration, and traces of everything: schedules that find nothing, metrics, 44 alarms over 51 metrics, a key."""
    runs = SCHEDULED
    return {
        "secrets": SECRET,
        "calls of Secrets Manager": 0,
        "DynamoDB": runs * 5 * READ,
        "Lambda": runs * (INVOCATION + 0.05 * MEMORY_GB * GB_SECOND),
        "API Gateway": 0,
        "logs": runs * LOGGED_WORK_GB * LOG_TAKEN_IN,
        "X-Ray": traced(runs + requests) * TRACE,
        "metrics, alarms, dashboard, key": metrics * METRIC + 51 * ALARM + DASHBOARD + KEY,
    }


# How many of the functions' own metrics have a value in a month: they are billed by the operation and provider in use.
SIZES = [(100, 60), (10_000, 150), (1_000_000, 250)]


def money(amount):
    return f"{amount:,.2f}" if amount < 100 else f"{amount:,.0f}"


def tables():
    lines = ["| | 100 integrations | 10,000 | 1,000,000 |", "|---|---:|---:|---:|"]
    columns = []
    for integrations, metrics in SIZES:
        total = of_stack(metrics, sum(map(invocations, GROUPS)) * integrations / len(GROUPS))
        for group in GROUPS:
            costs = of_group(group, integrations / len(GROUPS))
            # That of all together is above: they share what is traced each second.
            for service in costs.keys() - {"X-Ray"}:
                total[service] += costs[service]
        columns.append(total)
    for service in columns[0]:
        lines.append(f"| {service} | " + " | ".join(money(column[service]) for column in columns) + " |")
    sums = [sum(column.values()) for column in columns]
    lines.append("| **a month** | " + " | ".join(f"**{money(total)}**" for total in sums) + " |")
    each = [total / integrations for total, (integrations, _) in zip(sums, SIZES)]
    lines.append("| for each integration | " + " | ".join(f"{cost:.2f}" for cost in each) + " |")
    without = [sum(cost for service, cost in column.items() if service != "secrets") for column in columns]
    lines.append("| without the secrets | " + " | ".join(money(total) for total in without) + " |")
    lines.append("")
    names = [group.name for group in GROUPS]
    lines.append("| 1,000 integrations of | " + " | ".join(names) + " |")
    lines.append("|---|" + "---:|" * len(names))
    costs = [of_group(group, 1_000) for group in GROUPS]
    for service in costs[0]:
        lines.append(f"| {service} | " + " | ".join(money(cost[service]) for cost in costs) + " |")
    lines.append("| **a month** | " + " | ".join(f"**{money(sum(cost.values()))}**" for cost in costs) + " |")
    return "\n".join(lines)


def main():
    printed = tables()
    if sys.argv[1:2] == ["--check"]:
        with open(sys.argv[2], encoding="utf-8") as document:
            text = document.read()
        missing = [table for table in printed.split("\n\n") if table not in text]
        if missing:
            print(f"{sys.argv[2]} has other costs than infra/costs.py prints:\n\n" + "\n\n".join(missing))
            return 1
        return 0
    print(printed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
