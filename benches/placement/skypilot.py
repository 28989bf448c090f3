#!/usr/bin/env python3
"""Times SkyPilot's own optimizer on a chain or tree of tasks.

  skypilot.py CATALOG INSTANCE OUT [--seconds S]

Writes {method, version, algorithm, status, cost, bound, seconds, exact_seconds, assign}, money in micro-USD per hour.
Times are in the optimizer's dynamic programme (of a chain) or integer programme (of another graph) alone: what fits a
task is found before. `seconds` is of the optimizer as it is, with its own prices of egress. They differ from the
catalog's, so it then solves the instance once more with these, in `exact_seconds`, and cost and assign are of that.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time

# SkyPilot makes folders and a database at home when it is imported.
HOME = tempfile.TemporaryDirectory()
os.environ["HOME"] = os.environ["SKY_RUNTIME_DIR"] = HOME.name
os.environ["SKYPILOT_DISABLE_USAGE_COLLECTION"] = "1"

import networkx  # noqa: E402
import sky  # noqa: E402
from sky import clouds, optimizer  # noqa: E402

OPTIMIZER = optimizer.Optimizer


class Offer:
    """What the optimizer needs to know of a candidate: its cloud. Compared by identity."""

    __slots__ = ("cloud", "region", "kind")

    def __init__(self, cloud, region=None, kind=None):
        self.cloud, self.region, self.kind = cloud, region, kind


def offers(catalog, component, providers):
    """{offer: cost} of everything that fits the component."""
    found = {}
    for region in component["allowed_regions"]:
        cloud = catalog["regions"][region]["cloud"]
        for index, (price, kind) in enumerate(zip(catalog["offers"][region], catalog["types"][cloud])):
            fits = kind["vcpu"] >= component["vcpu"] and kind["mem_gib"] >= component["mem_gib"]
            if price >= 0 and fits and kind["gpu"] >= component["gpu"]:
                found[Offer(providers[cloud], region, index)] = price * component["replicas"]
    return found


def egress_of(catalog, gib):
    """What the optimizer asks for an edge's cost, by the catalog's prices."""
    rows = {(row["cloud"], row["geo"]): row for row in catalog["egress"]}
    regions = range(len(catalog["regions"]))

    def price(source, sink):
        here, there = catalog["regions"][source], catalog["regions"][sink]
        row = rows[here["cloud"], here["geo"]]
        return 0 if source == sink else row["same_cloud" if here["cloud"] == there["cloud"] else "other"]

    prices = [[price(source, sink) for sink in regions] for source in regions]

    def egress(_, parent, parent_offer, task, offer):
        traffic = gib.get((parent, task))
        return traffic * prices[parent_offer.region][offer.region] if traffic else 0

    return egress


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("catalog")
    arguments.add_argument("instance")
    arguments.add_argument("out")
    arguments.add_argument("--seconds", type=int, default=300, help="after which it is given up")
    given = arguments.parse_args()
    with open(given.catalog, encoding="utf-8") as file:
        catalog = json.load(file)
    with open(given.instance, encoding="utf-8") as file:
        instance = json.load(file)
    providers = [{"aws": clouds.AWS, "azure": clouds.Azure, "gcp": clouds.GCP}[name]() for name in catalog["clouds"]]

    with sky.Dag() as dag:
        tasks = [sky.Task(name=component["id"]) for component in instance["components"]]
        gib = {}
        for link in instance["links"]:
            tasks[link["a"]] >> tasks[link["b"]]
            gib[tasks[link["a"]], tasks[link["b"]]] = link["gib_ab"]
            tasks[link["a"]].set_outputs("s3://outputs", float(link["gib_ab"]))
    OPTIMIZER._add_dummy_source_sink_nodes(dag)
    graph = dag.get_graph()
    order = list(networkx.topological_sort(graph))
    costs = {task: {next(iter(task.resources)): 0} for task in (order[0], order[-1])}
    for task, component in zip(tasks, instance["components"]):
        costs[task] = offers(catalog, component, providers)

    chain = dag.is_chain()

    def optimize():
        signal.alarm(given.seconds)
        started = time.perf_counter()
        if chain:
            plan, cost = OPTIMIZER._optimize_by_dp(order, costs)
        else:
            plan, cost = OPTIMIZER._optimize_by_ilp(graph, order, costs)
        took = time.perf_counter() - started
        signal.alarm(0)
        return plan, cost, took

    _, _, took = optimize()
    OPTIMIZER._egress_cost_or_time = staticmethod(egress_of(catalog, gib))
    plan, cost, exactly = optimize()
    assign = [
        {"component": index, "region": plan[task].region, "type": plan[task].kind} for index, task in enumerate(tasks)
    ]
    answer = {
        "method": "skypilot", "version": sky.__version__, "algorithm": "dp" if chain else "ilp",
        "status": "optimal", "cost": round(cost), "bound": cost, "seconds": took, "exact_seconds": exactly,
        "assign": assign,
    }
    with open(given.out, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    del answer["assign"]
    json.dump(answer, sys.stdout)
    print()


if __name__ == "__main__":
    main()
